"""Queries that drop out on their way: what they prove, and that contradictions raise an alarm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds import linear, margins, stopping
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import METHODS, LinearMethod
from ballproof.bounds.race import Race, likely_side, racing, with_side
from ballproof.data import load
from ballproof.errors import SoundnessError
from ballproof.networks import as_graph
from ballproof.networks.shipped import shipped_model
from ballproof.operations.clamp import Clamp
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.relu import Relu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.problems import Box, ball
from ballproof.values import Interval


def interval(*ends: tuple[float, float]) -> Interval:
    lower, upper = zip(*ends, strict=True)
    return Interval(torch.tensor([lower]).double(), torch.tensor([upper]).double())


def test_only_functions_of_two_straight_pieces_race() -> None:
    assert racing(Relu(), 1) and racing(LeakyRelu(0.1), 1)
    assert racing(Sigmoid(), 1) is None and racing(Clamp(0.0, 1.0), 1) is None and racing(Relu(), 2) is None


def test_the_side_asked_first_is_that_of_a_value() -> None:
    assert likely_side(Relu(), torch.tensor([[2.0, -2.0, 0.0]])).tolist() == [[1.0, -1.0, 1.0]]


@pytest.mark.parametrize("kind", ["dense", "convolutions"])
def test_one_side_settles_what_both_would(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the region is far from symmetric round its middle value; the lines are those on both ends."""
    torch.manual_seed(0)
    dense = [nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 30), nn.LeakyReLU(0.2), nn.Linear(30, 20), nn.ReLU()]
    maps = [nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 6, 2), nn.ReLU(), nn.Conv2d(6, 5, 2), nn.ReLU(), nn.Flatten()]
    net = nn.Sequential(*(dense if kind == "dense" else maps), nn.Linear(20 if kind == "dense" else 5, 4)).double()
    center = torch.rand(3, 1, 8, 8).double()
    region = Box(center - 0.01, center + 0.05)
    method = METHODS["crown"]
    assert isinstance(method, LinearMethod)
    with torch.no_grad():
        found = LinearPass(as_graph(net, region), region, method).run()
        monkeypatch.setattr(linear, "racing", lambda *given: None)
        wanted = LinearPass(as_graph(net, region), region, method).run()
    assert len(wanted.relaxations) == 3
    for name, lines in wanted.relaxations.items():
        own = found.relaxations[name]
        for line, other in ((own.lower, lines.lower), (own.upper, lines.upper)):
            assert torch.allclose(line.slopes[0], other.slopes[0], atol=1e-10)
            assert torch.allclose(line.offset, other.offset, atol=1e-10)


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
