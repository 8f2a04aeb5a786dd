"""Radii: of a linear network both sides meet the closed form; a proof beyond a broken point stops everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from ballproof.cli import main
from ballproof.data import load
from ballproof.errors import InputError, SoundnessError
from ballproof.evaluate import load_model, radius
from ballproof.evaluate.radius import RadiusSettings, radii, totals

PLAIN = RadiusSettings(clip=None, largest=2.0, attack="pgd", attack_settings={"steps": 20})


def plane() -> tuple[nn.Linear, Tensor, Tensor, Tensor]:
    """A network, examples, labels (the first one wrong), and the exact radii in Linf."""
    generator = torch.Generator().manual_seed(2)
    net, x = nn.Linear(5, 2).double(), torch.rand(7, 5, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        net.weight.copy_(torch.randn(2, 5, generator=generator))
        net.bias.copy_(torch.tensor([0.1, -0.1]))
        gap = net(x)[:, 0] - net(x)[:, 1]
        exact = gap.abs() / (net.weight[0] - net.weight[1]).abs().sum()
    y = (gap < 0).long()
    y[0], exact[0] = 1 - y[0], 0
    return net, x, y, exact


def test_both_sides_meet_the_closed_form() -> None:
    net, x, y, exact = plane()
    rows = radii(net, [(x, y)], PLAIN)
    assert [r["index"] for r in rows] == list(range(7)) and [r["correct"] for r in rows] == [False, *[True] * 6]
    certified, attacked = (torch.tensor([r[k] for r in rows], dtype=torch.float64) for k in ("certified", "attacked"))
    assert (certified <= exact).all() and (exact <= attacked + 1e-12).all() and (certified <= attacked).all()
    assert torch.allclose(certified, exact, rtol=1e-3, atol=0) and torch.allclose(attacked, exact, rtol=1e-3, atol=0)
    told = totals(rows, PLAIN)
    assert told["clean_accuracy"] == pytest.approx(6 / 7) and told["unbroken"] == 0
    assert told["certified_mean"] == pytest.approx(float(certified.mean()))


def test_pixels_of_a_linear_network() -> None:
    """Both sides are exact: a pixel lowers the margin by the larger of c x and c (x - 1)."""
    net, x, _, _ = plane()
    net.bias.data[0] += 2
    y = net(x).argmax(1)
    y[0] = 1 - y[0]
    c = (net.weight[y] - net.weight[1 - y]).detach()
    margin = (net(x).gather(1, y[:, None]) - net(x).gather(1, 1 - y[:, None])).detach()
    down = margin - torch.maximum(c * x, c * (x - 1)).sort(1, descending=True).values.cumsum(1)
    exact = torch.where((down <= 0).any(1), (down <= 0).double().argmax(1) + 1, 6)
    rows = radii(net, [(x, y)], RadiusSettings(norm="l0", attack="auto", attack_settings={"queries": 20}, largest=5))
    assert [r["attacked"] for r in rows] == [0, *[float(e) if e < 6 else None for e in exact[1:]]]
    assert [r["certified"] for r in rows] == [0, *[float(e) - 1 for e in exact[1:]]] and len(exact[1:].unique()) > 1


def test_what_is_not_broken_up_to_the_largest_radius_is_certified_there() -> None:
    net, x, y, exact = plane()
    largest = float(exact.median())
    rows = radii(net, [(x, y)], replace(PLAIN, largest=largest - 1e-6))
    far = [r for r, e in zip(rows, exact, strict=True) if e >= largest]
    assert len(far) == 4 and all(r["attacked"] is None and r["certified"] == largest - 1e-6 for r in far)


def test_a_proof_beyond_a_broken_point_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, y, _ = plane()
    real = radius.margins
    monkeypatch.setattr(radius, "margins", lambda *given: real(*given) + torch.tensor([0, 0, 9, 0, 9, 0, 0.0])[:, None])
    with pytest.raises(SoundnessError, match=r"examples \[2, 4\] are certified beyond"):
        radii(net, [(x, y)], PLAIN)


@pytest.mark.parametrize("change", [{"largest": 0.0}, {"halvings": 0}, {"attack": "pdg"}, {"method": "crwn"}])
def test_bad_settings_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(PLAIN, **change)  # type: ignore[arg-type]


def test_the_command_writes_rows_totals_and_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = "--data digits --limit 4 --halvings 3 --steps 3 --batch 3 --json".split()
    assert main(["radius", "digits-robust", *given, "--out", str(tmp_path / "run")]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert told["n"] == len(rows) == 4 and (tmp_path / "run" / "radii.svg").read_text().startswith("<svg")
    assert all(0 < r["certified"] <= r["attacked"] for r in rows if r["correct"]) and any(r["correct"] for r in rows)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["certified_mean"] == told["certified_mean"]
    assert main(["radius", "digits-robust", *given, "--largest", "-1"]) == 2
    assert "`largest` is -1.0" in capsys.readouterr().err


def test_the_command_attack_says_what_broke_each_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = "--data digits --limit 12 --eps 0.15 --attack auto --steps 5 --queries 20 --checks --json".split()
    assert main(["attack", "digits-robust", *given, "--out", str(tmp_path / "run")]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert sum(told["by"].values()) == sum(r["broken"] for r in rows) == round(12 * (1 - told["attacked_accuracy"])) > 0
    assert all((r["by"] != "") == r["broken"] for r in rows) and {r["by"] for r in rows} >= {"apgd-ce"}
    assert [c["name"] for c in told["checks"]] == ["eps", "steps", "restarts", "black-box", "gradients", "saturation"]
    assert main(["attack", "digits-robust", "--data", "digits", "--eps", "0.1", "--attack", "fgsm", "--steps", "3"]) == 2
    assert "`fgsm` has no setting `steps`" in capsys.readouterr().err


def test_the_command_attack_moves_pixels_and_heads_for_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", "digits", "--limit", "30", "--json", "--out"]
    pixels = ["attack", "digits-robust", "--eps", "2", "--norm", "l0", "--attack", "auto", "--queries", "20", *data]
    assert main([*pixels, str(tmp_path / "l0")]) == 0
    said = capsys.readouterr().out
    assert "l0 ball of radius 2 pixels" in said
    told = json.loads(said.splitlines()[-1])
    with np.load(tmp_path / "l0" / "adversarial.npz") as kept:
        points = kept["inputs"]
    x = load("digits", "test").inputs[:30].numpy()
    assert told["norm"] == "l0" and ((points != x).sum((1, 2, 3)) <= 2).all() and 0 < told["attacked_accuracy"] < 1

    data[3] = "120"
    assert main(["attack", "digits-robust", "--eps", "0.2", "--towards", "8", *data, str(tmp_path / "t")]) == 0
    said = capsys.readouterr().out
    told, rows = json.loads(said.splitlines()[-1]), pq.read_table(tmp_path / "t" / "results.parquet").to_pylist()
    assert "not made a 8" in said and told["n"] == len(rows) < 120 and 0 < told["attacked_accuracy"] < 1
    assert all(r["broken"] == (r["prediction"] == 8) and r["label"] != 8 for r in rows)
    whole = load("digits", "test").subset(range(120))
    clean = load_model("digits-robust", whole)(whole.inputs).argmax(1)[whole.labels != 8].tolist()
    assert [r["by"] for r in rows if r["broken"]] == [
        "clean" if c == 8 else "pgd" for c, r in zip(clean, rows, strict=True) if r["broken"]
    ]
    assert any(not r["correct"] and r["by"] == "pgd" for r in rows)  # wrong already, and yet it had to be brought there
    assert main(["attack", "digits-robust", "--eps", "0.2", "--towards", "10", *data, str(tmp_path / "u")]) == 2
    assert "`towards` is 10, digits has the classes 0 to 9" in capsys.readouterr().err
    assert main([*pixels[:5], "l0", "--checks", *data, str(tmp_path / "u")]) == 2
    assert "weak in l0" in capsys.readouterr().err and not (tmp_path / "u").exists()
