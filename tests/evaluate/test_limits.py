"""Boxes round examples, from a file: what they hold, what is refused, and that no point leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ballproof.attacks import PGD, Auto
from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate.attacked import attack_data
from ballproof.evaluate.limits import Limits
from ballproof.runs import Run


def limits(tmp_path: Path, **arrays: object) -> Path:
    np.savez(tmp_path / "box.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "box.npz"


def test_limits_broadcast_and_are_cut_with_the_range(tmp_path: Path) -> None:
    found = Limits.read(limits(tmp_path, below=np.float64(0.1), above=np.array([[0, 0.2]])), (3, 2))
    x = torch.tensor([[[0.05, 0.5], [1.0, 0.9], [0.5, 0.5]]])
    cut, whole = found.round(x, (0, 1)), found.round(x, None)
    assert torch.allclose(cut.lower, torch.tensor([[[0.0, 0.4], [0.9, 0.8], [0.4, 0.4]]]))
    assert torch.allclose(cut.upper, torch.tensor([[[0.05, 0.7], [1.0, 1.0], [0.5, 0.7]]]))
    assert torch.allclose(whole.lower, x - 0.1) and torch.allclose(whole.upper, x + torch.tensor([0, 0.2]))
    assert found.largest == pytest.approx(0.2) and found.digest != Limits(found.below, 2 * found.above).digest


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"below": np.ones(2)}, "expected the arrays below and above"),
        ({"below": np.ones(2), "above": -np.ones(2)}, "`above` holds numbers below 0"),
        ({"below": np.full(2, np.nan), "above": np.ones(2)}, "`below` holds .* NaN"),
        ({"below": np.ones(3), "above": np.ones(2)}, r"`below` has shape \(3,\), which does not broadcast to \(2,\)"),
        ({"below": np.ones(2), "above": np.array(["a", "b"])}, "`above` holds <U1, expected numbers"),
    ],
)
def test_what_is_no_limit_is_named(tmp_path: Path, arrays: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Limits.read(limits(tmp_path, **arrays), (2,))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*numpy.savez\(path, below=..., above=...\)"):
        Limits.read(tmp_path / "none.npz", (2,))


@pytest.mark.parametrize("method", [PGD(steps=10), Auto(steps=10, queries=20)], ids=repr)
def test_only_what_the_box_lets_in_breaks_an_example(tmp_path: Path, method: object) -> None:
    """The answer is 1 where the first coordinate exceeds 0.5: the box may rise by 0.2, fall by 0.1, the second may not move."""
    net = nn.Linear(2, 2)
    net.weight.data, net.bias.data = torch.tensor([[0.0, 9.0], [1.0, 9.0]]), torch.tensor([0.5, 0.0])
    x = torch.tensor([[0.2, 0.3], [0.35, 0.3], [0.55, 0.3], [0.65, 0.3], [0.45, 0.3], [0.45, 0.3]])
    y = torch.tensor([0, 0, 1, 1, 0, 1])
    data = Dataset(x, y, "six", "test", 2)
    box, run = Limits(torch.tensor([0.1, 0.0]), torch.tensor([0.2, 0.0])), Run.start(tmp_path / "run", "attack", {}, False)
    found = attack_data(net, data, method, box, "box", (0, 1), 10, run, "pgd")  # type: ignore[arg-type]
    rows = list(run.rows("rows.jsonl"))
    assert [row["broken"] for row in rows] == [False, True, True, False, True, True] and found["clean_accuracy"] == 5 / 6
    assert rows[5]["by"] == "clean" and "clean" not in [row["by"] for row in rows[:5]]
    with np.load(tmp_path / "run" / "adversarial.npz") as kept:
        points = kept["inputs"]
    assert (points[:, 1] == x[:, 1].numpy()).all()
    assert (points[:, 0] >= x[:, 0].numpy() - 0.1001).all() and (points[:, 0] <= x[:, 0].numpy() + 0.2001).all()
