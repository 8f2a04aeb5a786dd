"""Queries that drop out on their way: what they prove, and that contradictions raise an alarm."""

from __future__ import annotations

import pytest
import torch

from ballproof.bounds import margins, stopping
from ballproof.bounds.race import Race, likely_side, racing, with_side
from ballproof.data import load
from ballproof.errors import SoundnessError
from ballproof.networks.shipped import shipped_model
from ballproof.operations.clamp import Clamp
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.relu import Relu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.problems import ball
from ballproof.values import Interval


def interval(*ends: tuple[float, float]) -> Interval:
    lower, upper = zip(*ends, strict=True)
    return Interval(torch.tensor([lower]).double(), torch.tensor([upper]).double())


def test_only_functions_of_two_straight_pieces_race() -> None:
    assert racing(Relu(), 1) and racing(LeakyRelu(0.1), 1)
    assert racing(Sigmoid(), 1) is None and racing(Clamp(0.0, 1.0), 1) is None and racing(Relu(), 2) is None


def test_the_likelier_side_is_that_of_the_middle() -> None:
    assert likely_side(Relu(), interval((-1, 3), (-3, 1), (-1, 1))).tolist() == [[1.0, -1.0, 1.0]]


def test_settled_queries_drop_and_keep_what_they_proved() -> None:
    known = interval((-1, 3), (-3, 1), (-2, 2), (-1, 1))
    race = Race(known, torch.tensor([[1.0, -1, 1, -1]]).double(), Relu())
    left = race.after(torch.tensor([[0.5, 0.25, -1.0, -0.5]]).double())
    assert left is not None and sorted(left[0].tolist()) == [2, 3]
    found = race.finished(torch.tensor([[-0.75, 0.125] if left[0, 0] == 2 else [0.125, -0.75]]).double())
    assert found.lower.tolist() == [[0.5, -3.0, -0.75, -1.0]]
    assert found.upper.tolist() == [[3.0, -0.25, 2.0, -0.125]]


def test_all_stay_while_most_are_open() -> None:
    race = Race(interval((-1, 3), (-3, 1)), torch.tensor([[1.0, -1]]).double(), Relu())
    assert race.after(torch.tensor([[-0.5, -0.5]]).double()) is None


def test_a_contradiction_is_an_alarm() -> None:
    known = interval((-1, 1))
    for sign in (1.0, -1.0):
        with pytest.raises(SoundnessError, match="do not meet"):
            with_side(known, torch.tensor([[sign]]).double(), torch.tensor([[2.0]]).double(), "here")


def test_sums_that_cancel_at_points_raise_no_alarm() -> None:
    """Balls of radius 0 beside wide ones: both ends of a neuron are one number, and its summands are much larger."""
    data = load("digits", "test").subset(range(80, 100))
    eps = torch.where(torch.arange(20) % 2 == 0, 0.0, 0.3)
    region = ball("linf", data.inputs, eps, (0.0, 1.0))
    found = margins(shipped_model("digits-robust"), region, data.labels, stopping("crown", 0.0))
    with torch.no_grad():
        outputs = shipped_model("digits-robust")(data.inputs[::2])
    own = outputs.gather(1, data.labels[::2].unsqueeze(1))
    others = outputs.scatter(1, data.labels[::2].unsqueeze(1), -torch.inf).amax(1)
    exact = own.squeeze(1) - others
    assert bool((found[::2].amin(1) <= exact + 1e-4).all()) and bool(((found[::2].amin(1) > 0) == (exact > 0)).all())
