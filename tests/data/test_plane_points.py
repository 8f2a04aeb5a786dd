"""The points of the plane: boxes round them never meet, whatever the seed."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from ballproof.data import load, points
from ballproof.errors import InputError


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("count", "radius", "gap"), [(12, 0.08, 1.25), (12, 0.08, 1.0), (2, 0.2, 1.0), (30, 0.04, 1.1)])
def test_boxes_never_meet_and_both_classes_are_there(count: int, radius: float, gap: float, seed: int) -> None:
    data = points(count, radius, seed, gap)
    assert (len(data), data.shape, data.classes, set(data.labels.tolist())) == (count, (2,), 2, {0, 1})
    for a, b in combinations(data.inputs.double(), 2):
        assert max(abs(float(a[0] - b[0])), abs(float(a[1] - b[1]))) > 2 * radius * gap - 1e-7  # float32 differences


def test_the_arguments_alone_decide() -> None:
    torch.manual_seed(1)
    first = points(seed=4)
    torch.manual_seed(2)
    second, other = points(seed=4), points(seed=5)
    assert torch.equal(first.inputs, second.inputs) and torch.equal(first.labels, second.labels)
    assert not torch.equal(first.inputs, other.inputs)


def test_the_same_points_serve_both_splits() -> None:
    train, test = load("points", "train"), load("points", "test")
    assert (train.split, test.split) == ("train", "test")
    assert torch.equal(train.inputs, test.inputs) and torch.equal(train.labels, test.labels)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"count": 50, "radius": 0.2}, "do not fit"),
        ({"count": 1}, "count >= 2"),
        ({"radius": 0.0}, "radius"),
        ({"radius": float("nan")}, "radius"),
        ({"gap": 0.9}, "gap >= 1"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_cannot_be_is_refused(arguments: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        points(**arguments)  # type: ignore[arg-type]
