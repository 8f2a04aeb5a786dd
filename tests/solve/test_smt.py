"""The exact engine: against vertices in rationals with no tolerance at all, and its arithmetic against fractions."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from net_zoo import KINDS, read, tiny
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.networks import as_graph
from ballproof.problems import Box, Linf, Property, linear_constraints
from ballproof.solve import smt as module
from ballproof.solve import verify
from ballproof.solve.clock import Answer, Clock, Task
from ballproof.solve.smt import smt
from ballproof.solve.smt_exact import Dyadic, dyadic, float_above, float_below, joined
from ballproof.solve.smt_forms import Forms
from oracles import rational
from oracles.maxnet import Absolute

SMALL = {
    "relu": lambda: nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)),
    "leaky": lambda: nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.2), nn.Linear(4, 2)),
    "abs": lambda: nn.Sequential(nn.Linear(2, 3), Absolute(), nn.Linear(3, 2)),
    "clamp": lambda: nn.Sequential(nn.Linear(2, 2), nn.Hardtanh(-0.25, 0.5), nn.Linear(2, 2)),
}


def nobody(points: Tensor) -> None:
    """Confirms nothing: what the engine then calls proven rests on its own proof alone."""


def asked_of(net: nn.Module, box: Box, c: np.ndarray, offset: float) -> Answer:
    row = torch.from_numpy(c).reshape(1, 1, -1)
    asked = Property(row, torch.tensor([[offset]], dtype=torch.float64), (0,))
    return smt(Task(as_graph(net, box), box, asked, nobody, Clock(60)))


@pytest.mark.parametrize("kind", list(SMALL))
@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_turns_at_the_last_bit(kind: str, seed: int) -> None:
    """The offset is the float just above, then the one just below, minus the exact minimum in rationals."""
    torch.manual_seed(seed)
    net = SMALL[kind]().double()
    box = Box(torch.tensor([[-1.0, -0.5]], dtype=torch.float64), torch.tensor([[0.75, 1.0]], dtype=torch.float64))
    c = np.random.default_rng(seed).normal(size=2)
    least = rational.minimum(read(net, (2,)), box.lower[0].numpy(), box.upper[0].numpy(), c)
    above, below = float_above(-least), float_below(-least)
    assert above - below < Fraction(1, 10**14)
    if above + least > 0:
        assert asked_of(net, box, c, float(above)).proven
    answer = asked_of(net, box, c, float(below))
    assert not answer.proven and "exact violation" in answer.reason


def test_a_tie_is_a_violation() -> None:
    """|x| <= 0 holds at 0, and there alone."""
    net, x = Absolute(), Linf(torch.tensor([[0.5]], dtype=torch.float64), 1.0)
    box = Box(torch.tensor([[-0.5]], dtype=torch.float64), torch.tensor([[1.5]], dtype=torch.float64))
    assert "exact violation" in asked_of(net, box, np.ones(1), 0.0).reason
    assert asked_of(net, box, np.ones(1), 5e-324).proven
    assert verify(net, x, linear_constraints([[-1.0]], [0.0]), engine="smt").falsified
    assert verify(net, x, linear_constraints([[-1.0]], [1e-6]), engine="smt").verified


def test_dyadic_arithmetic_is_that_of_fractions() -> None:
    rng = random.Random(0)
    a, b = (np.array([[rng.uniform(-1, 1) * 2.0 ** rng.randint(-40, 40) for _ in range(3)] for _ in range(3)]) for _ in "ab")
    a[0, 1] = 0.0
    x, y = Dyadic.of(a), Dyadic.of(b)
    exact = [[Fraction(v) for v in row] for row in a.tolist()], [[Fraction(v) for v in row] for row in b.tolist()]
    product = [sum(exact[0][i][k] * exact[1][k][j] for k in range(3)) for i in range(3) for j in range(3)]
    assert x.times(y).fractions() == product
    assert (x + -y).fractions() == [Fraction(v) - Fraction(w) for v, w in zip(a.flat, b.flat, strict=True)]
    assert (x * y).fractions() == [Fraction(v) * Fraction(w) for v, w in zip(a.flat, b.flat, strict=True)]
    assert joined([x, y]).fractions() == [Fraction(v) for v in [*a.flat, *b.flat]]
    assert dyadic(Fraction(5, 8)).fractions() == [Fraction(5, 8)]


def test_floats_beside_a_number_enclose_it() -> None:
    for value in (Fraction(1, 3), Fraction(-2, 7), Fraction(1, 2), Fraction(0)):
        low, high = float_below(value), float_above(value)
        assert low <= value <= high and float(high) <= np.nextafter(float(low), np.inf)
        assert (low == high) == (Fraction(float(value)) == value)


@pytest.mark.parametrize("kind", list(KINDS))
def test_ranges_hold_every_sampled_neuron(kind: str) -> None:
    net = tiny(kind, 4)
    region = Linf(net.point, 0.3)
    graph, box = as_graph(net.net, region), region.box()
    ends = [(Fraction(a), Fraction(b)) for a, b in zip(box.lower.flatten().tolist(), box.upper.flatten().tolist(), strict=True)]
    forms = Forms(graph, ends, 60, lambda: None).run()
    with torch.no_grad():
        seen = graph.activations(region[[0] * 500].sample(torch.Generator().manual_seed(0)))
    for node in graph.varying:
        own = forms.nodes[node.name]
        for i, values in enumerate(seen[node.name].flatten(1).T):
            low, high = forms.range(own[i : i + 1])
            assert low <= float(values.min()) + 1e-12 and float(values.max()) - 1e-12 <= high
            assert high - low <= 50


def test_too_many_neurons_are_left_to_others() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 80), nn.ReLU(), nn.Linear(80, 2)).double()
    region = Linf(torch.zeros(1, 4, dtype=torch.float64), 5.0)
    verdict = verify(net, region, linear_constraints([[1.0, -1.0]], [0.5]), engine="smt")
    assert verdict.unknown and "more than 60" in verdict.reason


def test_without_z3_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    region = Linf(torch.zeros(1, 1, dtype=torch.float64), 1.0)
    with pytest.raises(InputError, match=r"ballproof\[smt\]"):
        verify(Absolute(), region, linear_constraints([[-1.0]], [1e-6]), engine="smt")
