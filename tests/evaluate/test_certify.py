"""The table: order of the three accuracies, resuming, alarms, files."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ballproof.bounds import margins
from ballproof.cli import main
from ballproof.data import Dataset, load
from ballproof.errors import InputError, SoundnessError
from ballproof.evaluate import CertifySettings, certify
from ballproof.evaluate.curve import accuracy_curve
from ballproof.evaluate.results import write_results
from ballproof.evaluate.twins import save_twins
from ballproof.networks.architectures import build
from ballproof.problems import Linf
from ballproof.runs import Run

SETTINGS = CertifySettings(eps=0.03, method="dual", attack_steps=5, batch=16)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", "test").subset(list(range(50)))


@pytest.fixture(scope="module")
def network(digits: Dataset) -> nn.Module:
    torch.manual_seed(0)
    module, data = build("mlp", digits.shape, digits.classes), load("digits", "train")
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(data.inputs), data.labels).backward()
        optimizer.step()
    return module.eval()


def test_the_three_accuracies_are_in_order_and_the_rows_agree(network: nn.Module, digits: Dataset) -> None:
    table = certify(network, digits, settings=SETTINGS)
    totals = table.totals
    assert totals["n"] == 50
    assert 0 < totals["certified_accuracy"] <= totals["attacked_accuracy"] <= totals["clean_accuracy"] < 1.01
    with torch.no_grad():
        proven = margins(network, Linf(digits.inputs, 0.03, clip=(0, 1)), digits.labels, "dual")
    for row, own in zip(table.rows, proven, strict=True):
        assert torch.allclose(torch.tensor(row["margins"]), own, atol=1e-5)
        assert row["certified"] == bool((own > 0).all())
        assert not (row["certified"] and row["attacked"])


def test_the_batch_does_not_matter(network: nn.Module, digits: Dataset) -> None:
    small = certify(network, digits, settings=CertifySettings(eps=0.03, attack_steps=0, batch=7))
    large = certify(network, digits, settings=CertifySettings(eps=0.03, attack_steps=0, batch=1000))
    assert [r["certified"] for r in small.rows] == [r["certified"] for r in large.rows]
    assert [r["attacked"] for r in small.rows] == [None] * 50


def test_a_loader_gives_the_same_rows(network: nn.Module, digits: Dataset) -> None:
    loader = [(digits.inputs[:20], digits.labels[:20]), (digits.inputs[20:], digits.labels[20:])]
    table = certify(network, loader, eps=0.03, method="dual", attack_steps=0)
    whole = certify(network, digits, settings=CertifySettings(eps=0.03, attack_steps=0))
    assert [r["certified"] for r in table.rows] == [r["certified"] for r in whole.rows]


def test_an_interrupted_run_goes_on_where_it_was(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "certify", {}, resume=False)

    def stop(done: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify(network, digits, settings=SETTINGS, run=run, watch=stop)
    assert len(run.rows("rows.jsonl")) == 32
    kept = run.rows("rows.jsonl")
    table = certify(network, digits, settings=SETTINGS, run=run)
    assert table.rows[:32] == kept
    assert [r["index"] for r in table.rows] == [int(i) for i in digits.indices]
    whole = certify(network, digits, settings=SETTINGS)
    for a, b in zip(table.rows, whole.rows, strict=True):
        assert (a["index"], a["certified"], a["attacked"]) == (b["index"], b["certified"], b["attacked"])


def test_an_unsound_bound_raises_the_alarm(network: nn.Module, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[certify.__module__]
    monkeypatch.setattr(module, "margins", lambda *a, **k: torch.ones(len(a[1].box().lower), 9))
    with pytest.raises(SoundnessError, match="certified and yet broken"):
        certify(network, digits, settings=CertifySettings(eps=0.5, attack_steps=5))


def test_the_command_prints_no_table_in_which_less_stands_the_attack_than_is_certified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[certify.__module__], "margins", lambda *a, **k: torch.ones(len(a[1].box().lower), 9))
    asked = "--data digits --eps 0.5 --limit 12 --attack-steps 5".split()
    assert main(["certify", "digits-robust", *asked, "--out", str(tmp_path / "run")]) == 3
    said = capsys.readouterr()
    assert re.match(r"ballproof: SoundnessError: examples \[(\d+, ){11}\d+\] are certified and yet broken", said.err)
    assert "accuracy" not in said.out and not (tmp_path / "run" / "results.json").exists()


def test_a_twin_that_breaks_what_is_certified_raises_the_alarm(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    """A table of a radius at which the attack succeeds, every row of it called certified."""
    table = certify(network, digits, settings=CertifySettings(eps=0.5, method="interval", attack_steps=0))
    claimed = replace(table, rows=[{**r, "certified": True} for r in table.rows])
    with pytest.raises(SoundnessError, match=r"examples \[.*\] are certified and yet broken"):
        save_twins(network, digits, claimed, Run.start(tmp_path / "a", "certify", {}, resume=False))


@pytest.mark.parametrize("attack_steps", [0, 5])
def test_a_wrong_clean_answer_is_no_find_of_an_attack(network: nn.Module, digits: Dataset, attack_steps: int) -> None:
    moved = replace(digits, labels=torch.where(torch.arange(50) < 4, (digits.labels + 1) % 10, digits.labels))
    rows = certify(network, moved, settings=replace(SETTINGS, attack_steps=attack_steps)).rows
    assert not any(r["correct"] for r in rows[:4])
    assert all((r["by"] == "clean") == (not r["correct"]) for r in rows)
    assert attack_steps or not any(r["by"] == "attack" for r in rows)


def test_files_hold_what_the_table_holds(network: nn.Module, digits: Dataset, tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "certify", {}, resume=False)
    table = certify(network, digits, settings=SETTINGS, run=run)
    curve = accuracy_curve(network, digits, SETTINGS, 20)
    write_results(run, table, curve)
    assert pq.read_table(run.path / "results.parquet").to_pylist() == table.rows
    assert json.loads((run.path / "results.json").read_text())["certified_accuracy"] == table.totals["certified_accuracy"]
    shown = save_twins(network, digits, table, run)
    assert shown and all(r["index"] in {row["index"] for row in table.rows} for r in shown)


def test_the_curve_falls_and_stays_ordered(network: nn.Module, digits: Dataset) -> None:
    curve = accuracy_curve(network, digits, SETTINGS, 30)
    for key in ("certified_accuracy", "attacked_accuracy"):
        values = [point[key] for point in curve]
        assert values == sorted(values, reverse=True)
    assert all(p["certified_accuracy"] <= p["attacked_accuracy"] for p in curve)
    assert curve[0]["certified_accuracy"] == curve[0]["clean_accuracy"]


@pytest.mark.parametrize("bad", [{"eps": 0.1, "batch": 0}, {"eps": 0.1, "method": "dul"}, {"eps": 0.1, "attack_steps": -1}])
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        CertifySettings(**bad)  # type: ignore[arg-type]
