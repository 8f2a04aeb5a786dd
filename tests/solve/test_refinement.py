"""Intervals from a search on each neuron, against points and against linear programs on every linear piece."""

import itertools

import numpy as np
import pytest
import torch
from net_zoo import question
from scipy.optimize import linprog
from torch import nn

from ballproof.graph import Graph
from ballproof.networks import read_module
from ballproof.problems import Box, Property
from ballproof.solve import neurons, verify
from ballproof.solve.clock import Clock, Task
from ballproof.solve.neurons import lines_of, tight_pass
from ballproof.solve.refinement import Refinement
from ballproof.values import Interval

BOX = Box(-torch.ones(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))


def network(act: type[nn.Module], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 6), act(), nn.Linear(6, 5), act(), nn.Linear(5, 4), act(), nn.Linear(4, 1)).double()
    for p in net.parameters():
        nn.init.normal_(p, std=0.9)
    return net


def found(net: nn.Module, seconds: float = 60.0) -> tuple[Graph, dict[str, Interval], dict[str, Interval]]:
    """The graph, the intervals to begin with, and the new ones of all neurons."""
    graph = read_module(net, torch.rand(2, 3, dtype=torch.float64))
    asked = Property(torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64), (0,))
    with torch.no_grad():
        known = tight_pass(Task(graph, BOX, asked, lambda _: None, Clock(60.0))).intervals
        return graph, known, Refinement(graph, BOX, known, lines_of).run(Clock(seconds))


def inner(graph: Graph) -> list[str]:
    """The arguments of the second and the third activation."""
    return [n.inputs[0] for n in graph.varying if n.shape in ((5,), (4,)) and graph.node[n.inputs[0]].shape == n.shape]


def exact_ends(net: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Of the second layer of a net of rectifiers: the least and the largest value, by a linear program a piece."""
    (w, b), (v, c) = ([p.detach().numpy() for p in layer.parameters()] for layer in (net[0], net[2]))
    low, high = np.full(len(v), np.inf), np.full(len(v), -np.inf)
    for on in itertools.product((0.0, 1.0), repeat=len(w)):
        sign = 1 - 2 * np.array(on)  # sign * (w x + b) <= 0 on the piece
        slope, offset = (v * on) @ w, (v * on) @ b + c
        for k, side in itertools.product(range(len(v)), (1.0, -1.0)):
            piece = linprog(side * slope[k], sign[:, None] * w, -sign * b, bounds=[(-1, 1)] * 3)
            if piece.status == 0:
                value = side * piece.fun + offset[k]
                low[k], high[k] = min(low[k], value), max(high[k], value)
    return low, high


@pytest.mark.parametrize("act", [nn.ReLU, nn.LeakyReLU, nn.Tanh])
@pytest.mark.parametrize("seed", range(2))
def test_new_intervals_hold_all_points_and_are_nowhere_wider(act: type[nn.Module], seed: int) -> None:
    graph, known, new = found(network(act, seed))
    torch.manual_seed(seed)
    seen = graph.activations(torch.rand(50_000, 3, dtype=torch.float64) * 2 - 1)
    narrower = 0.0
    for name in inner(graph):
        z = seen[name].detach()
        assert (z >= new[name].lower - 1e-12).all()
        assert (z <= new[name].upper + 1e-12).all()
        assert (new[name].lower >= known[name].lower).all()
        assert (new[name].upper <= known[name].upper).all()
        assert (new[name].lower <= new[name].upper).all()
        narrower += float((known[name].upper - known[name].lower - new[name].upper + new[name].lower).sum())
    assert narrower > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_ends_of_a_second_layer_come_near_those_of_its_linear_pieces(seed: int) -> None:
    """A neuron is searched until its sign is settled, or until the worst part has no neuron left to cut."""
    net = network(nn.ReLU, seed)
    graph, known, new = found(net)
    low, high = exact_ends(net)
    name = inner(graph)[0]
    lower, upper, first, last = (i[0].numpy() for x in (new, known) for i in (x[name].lower, x[name].upper))
    assert (lower <= low + 1e-9).all()
    assert (upper >= high - 1e-9).all()
    settled = (lower > 0) | (upper < 0)
    assert settled[(low > 0.1) | (high < -0.1)].all()
    excess, before = (low - lower + upper - high)[~settled].sum(), (low - first + last - high)[~settled].sum()
    assert excess < 0.25 * before


@pytest.mark.parametrize("seed", range(4))
def test_units_that_are_found_to_be_zero_leave_all_points_in_later_intervals(seed: int) -> None:
    net = network(nn.ReLU, seed)
    with torch.no_grad():
        net[2].bias -= 2.0
    graph, known, new = found(net)
    second, third = inner(graph)
    dead = [x[second].upper[0] <= 0 for x in (known, new)]
    assert dead[0].sum() < dead[1].sum() < 5 or seed
    z = graph.activations(torch.rand(50_000, 3, dtype=torch.float64) * 2 - 1)[third].detach()
    assert (z >= new[third].lower - 1e-12).all()
    assert (z <= new[third].upper + 1e-12).all()


@pytest.mark.parametrize("kind", ["residual", "leaky", "conv"])
def test_a_search_that_begins_with_new_intervals_agrees_with_enumeration(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, run = [], Refinement.run
    for name in ("FIRST", "BETWEEN", "CUTS"):
        monkeypatch.setattr(neurons, name, 1e-9)
    monkeypatch.setattr(Refinement, "run", lambda self, clock: turns.append(clock) or run(self, clock))
    for seed in range(30, 36):
        asked = question(kind, seed)
        verdict = verify(asked.tiny.net, asked.region, asked.asked, engine="neurons")
        assert verdict.verified == (asked.margin > 0) and not verdict.unknown, f"{kind} {seed}: {verdict}"
    assert turns


def test_without_time_nothing_is_lost() -> None:
    graph, known, new = found(network(nn.ReLU, 0), seconds=0.0)
    for name in inner(graph):
        assert (new[name].lower >= known[name].lower).all()
        assert (new[name].upper <= known[name].upper).all()
