"""Several trainings by one command: the stages of a cascade, and seeds."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import pytest
import torch
from safetensors.torch import load_file

from ballproof.bounds import margins
from ballproof.cli import main
from ballproof.data import load
from ballproof.evaluate import load_model
from ballproof.problems import ball

SHORT = ["--data", "digits", "--model", "digits-cnn", "--method", "interval", "--eps", "0.02", "--epochs", "6", "--lr", "3e-3"]
SHORT += ["--eps-until", "5", "--limit", "600", "--threads", "1", "--json"]


def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, object]:
    assert main(list(tokens)) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    return found


def test_a_cascade_trains_each_stage_on_what_is_not_certified_and_answers_by_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run"
    found = told(capsys, "train", *SHORT, "--stages", "2", "--out", str(path))
    training, _ = load("digits", "train").subset(list(range(600))).validation_split(0.1, 0)
    net = load_model(str(path / "stage0"), training)
    region = ball("linf", training.inputs, 0.02, (0.0, 1.0))
    with torch.no_grad():
        proven = margins(net, region, net(training.inputs).argmax(1), "interval")
    assert found["examples"] == [len(training.labels), int((proven <= 0).any(1).sum())]
    assert (path / "stage1" / "model.safetensors").is_file()
    first, second = (load_file(p / "model.safetensors") for p in (path / "stage0", path / "stage1"))
    assert any(not torch.equal(first[k], second[k]) for k in first)

    asked = ["--data", "digits", "--eps", "0.02", "--method", "interval", "--limit", "60", "--json", "--out"]
    both = told(capsys, "certify", str(path), *asked, str(tmp_path / "both"))
    assert both["attacked_accuracy"] is None
    page = (tmp_path / "both" / "report.html").read_text()
    assert "no bound of robust accuracy" in page and "the true robust accuracy is at least this" not in page
    alone = told(capsys, "certify", str(path / "stage0"), *asked, str(tmp_path / "one"), "--attack-steps", "0", "--curve", "0")
    assert alone["attacked_accuracy"] is None
    assert both["certified_accuracy"] >= alone["certified_accuracy"]  # type: ignore[operator]

    again = told(capsys, "train", *SHORT, "--stages", "2", "--out", str(path), "--resume")
    assert again["examples"] == found["examples"]

    assert main(["certify", str(path), *asked, str(tmp_path / "attacked"), "--attack-steps", "10"]) == 2
    assert "cascade" in capsys.readouterr().err
    assert main(["attack", str(path), "--data", "digits", "--eps", "0.02"]) == 2
    assert "stage0" in capsys.readouterr().err


@pytest.mark.slow
def test_several_seeds_have_a_mean_and_an_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "train", *SHORT, "--seeds", "3", "--out", str(tmp_path / "run"))
    each = [s["clean_accuracy"] for s in found["seeds"]]  # type: ignore[attr-defined]
    assert len(set(each)) > 1
    spread = found["clean_accuracy"]
    assert spread["mean"] == pytest.approx(mean(each))  # type: ignore[index]
    assert spread["half_width"] > 0  # type: ignore[index]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["seed0", "seed1", "seed2"]


def test_no_stage_and_no_seed_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--stages", "--seeds"):
        assert main(["train", *SHORT, option, "0", "--out", str(tmp_path / "no")]) == 2
        assert "at least 1" in capsys.readouterr().err
