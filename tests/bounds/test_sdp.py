"""The semidefinite relaxation between its neighbours: not below the triangle program, not above the exact minimum."""

from __future__ import annotations

import copy

import pytest
import torch
from lp_zoo import INPUTS, REGIONS, make, point, polytope
from torch import Tensor, nn

from ballproof.bounds.linear import LinearPass
from ballproof.bounds.lp import TriangleLP
from ballproof.bounds.methods import METHODS, LinearMethod
from ballproof.bounds.sdp import SDP, SDPSolver, sdp_lower
from ballproof.bounds.sdp_cvxpy import sdp_minimum_cvxpy
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Box, Linf, Region
from ballproof.values import Interval
from oracles import enumeration

NETS = ["relu", "deep", "residual"]
BOXES = ["linf", "linf-clip", "box"]
EXACT = 1e-6
"""The tolerance of the oracle's own linear programs."""


def prepared(net: nn.Module, region: Region, method: str = "crown") -> tuple[Graph, dict[str, Interval]]:
    settings = METHODS[method]
    assert isinstance(settings, LinearMethod)
    graph = as_graph(net, region)
    with torch.no_grad():
        return graph, LinearPass(graph, region, settings).run().intervals


def queries(seed: int, count: int = 2, outputs: int = 2) -> Tensor:
    return torch.randn(count, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", BOXES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("solver", ["interior", "first-order"])
def test_between_the_triangle_program_and_the_exact_minimum(name: str, kind: str, seed: int, solver: SDPSolver) -> None:
    net, layers = make(name, seed)
    region, rows = REGIONS[kind](point(seed)), queries(seed)
    graph, known = prepared(net, region)
    found = sdp_lower(graph, region, known, rows[None], solver, steps=40)[0]
    assert bool((found >= TriangleLP(graph, region, known).minimum(rows) - 1e-9).all())
    for c, value in zip(rows, found, strict=True):
        assert float(value) <= enumeration.minimum(layers, polytope(region), c.numpy()) + EXACT


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("method", ["crown", "crown-interval"])
def test_it_is_the_optimum_of_the_relaxation_as_written_on_the_blackboard(name: str, method: str) -> None:
    """Strong duality; the other form shares no row with it, and its solver is another."""
    pytest.importorskip("cvxpy")
    for seed, kind in enumerate(BOXES):
        net, _ = make(name, seed)
        region, rows = REGIONS[kind](point(seed)), queries(seed, 1)
        graph, known = prepared(net, region, method)
        found, written = sdp_lower(graph, region, known, rows[None])[0], sdp_minimum_cvxpy(graph, region, known, rows)
        assert torch.allclose(found, written, rtol=0, atol=3e-6)


class Pair(nn.Module):
    """-relu(a + b) - relu(a - b), where no input makes both sums large."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x[:, :1], x[:, 1:]
        return -torch.relu(a + b) - torch.relu(a - b)


def test_two_neurons_that_cannot_both_be_on() -> None:
    """On [-1, 1]^2 the least value is -2, at (1, 1). Each neuron under its own chord, (1, 0) seems to give -3.

    The relaxation knows that z1 + z2 = a + (|a + b| + |a - b|) / 2 and that the squares of a + b and a - b sum up to
    2 a^2 + 2 b^2 <= 4, so that the two absolute values sum up to 2 sqrt(2) at most: 1 + sqrt(2).
    """
    region = Box(-torch.ones(1, 2).double(), torch.ones(1, 2).double())
    graph, known = prepared(Pair(), region)
    one = torch.ones(1, 1, dtype=torch.float64)
    assert float(TriangleLP(graph, region, known).minimum(one)) == pytest.approx(-3, abs=1e-9)
    assert float(sdp_lower(graph, region, known, one[None])) == pytest.approx(-1 - 2**0.5, abs=1e-6)


def test_it_is_strictly_tighter_than_the_triangle_program_on_random_nets() -> None:
    missing = {"lp": 0.0, "sdp": 0.0}
    for seed in range(4):
        net, layers = make("relu", seed)
        region, rows = REGIONS["box"](point(seed)), queries(seed)
        graph, known = prepared(net, region)
        exact = sum(enumeration.minimum(layers, polytope(region), c.numpy()) for c in rows)
        missing["lp"] += exact - float(TriangleLP(graph, region, known).minimum(rows).sum())
        missing["sdp"] += exact - float(sdp_lower(graph, region, known, rows[None]).sum())
    assert missing["sdp"] < 0.4 * missing["lp"]


def test_ascent_comes_near_the_optimum() -> None:
    torch.manual_seed(0)
    net, x = (
        nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2)).double(),
        torch.rand(1, 8),
    )
    region, rows = Linf(x.double(), 0.4), queries(0)
    graph, known = prepared(net, region)
    start = TriangleLP(graph, region, known).minimum(rows)
    best = sdp_lower(graph, region, known, rows[None], "interior")[0]
    found = sdp_lower(graph, region, known, rows[None], "first-order", steps=400)[0]
    assert bool((found <= best + 1e-7).all()) and bool((best - found < 0.35 * (best - start)).all())


class Block(nn.Module):
    """A convolution, a residual one, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 2, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.last = nn.Linear(2 * 4 * 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(torch.relu(x + self.second(x)).flatten(1))


def test_a_residual_convolution_is_enclosed_and_tighter() -> None:
    net, x = Block().double(), torch.rand(1, 1, 3, 3, dtype=torch.float64)
    region, rows = Linf(x, 0.3, clip=(0.0, 1.0)), queries(3)
    graph, known = prepared(net, region)
    found = sdp_lower(graph, region, known, rows[None])[0]
    lp = TriangleLP(graph, region, known).minimum(rows)
    assert bool((found > lp + 1e-3).any()) and bool((found >= lp - 1e-9).all())
    points = torch.cat([region.sample() for _ in range(3000)])
    with torch.no_grad():
        assert bool((net(points) @ rows.T >= found - 1e-9).all())


def test_settled_neurons_and_pinned_inputs_cost_no_variable() -> None:
    net, x = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).double(), torch.zeros(1, 2).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]))
        net[0].bias.copy_(torch.tensor([5.0, -5.0, 0.0]))
    region = Box(x - torch.tensor([[1.0, 0.0]]), x + torch.tensor([[1.0, 0.0]]))
    graph, known = prepared(net, region)
    sdp = SDP(graph, region, known, "auto", 1)
    assert sdp.forms.size == 1 + 1 + 1 and len(sdp.forms.left) == 4
    rows = queries(1)
    line = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    with torch.no_grad():
        exact = (net(torch.stack([line, 0 * line], 1)) @ rows.T).amin(0)
    assert torch.allclose(sdp.minimum(rows), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETS)
def test_without_unsettled_neurons_it_is_exact(name: str) -> None:
    net, _ = make(name, 4)
    x, rows = point(4), queries(4)
    with torch.no_grad():
        value = net(x)[0] @ rows.T
    for eps in (0.0, 1e-9):
        region = Linf(x, eps)
        graph, known = prepared(net, region)
        assert torch.allclose(sdp_lower(graph, region, known, rows[None])[0], value, rtol=0, atol=1e-6)


def test_a_batch_is_its_examples_alone_and_comes_back_in_its_own_type() -> None:
    net, _ = make("relu", 1)
    x, rows = torch.rand(3, INPUTS, dtype=torch.float64), torch.randn(3, 2, 2, dtype=torch.float64)
    graph, known = prepared(net, Linf(x, 0.3))
    together = sdp_lower(graph, Linf(x, 0.3), known, rows)
    parts = [prepared(net, Linf(x[[i]], 0.3)) for i in range(3)]
    alone = torch.cat([sdp_lower(g, Linf(x[[i]], 0.3), k, rows[[i]]) for i, (g, k) in enumerate(parts)])
    shared = sdp_lower(graph, Linf(x, 0.3), known, rows[:1])
    assert torch.allclose(together, alone, rtol=0, atol=1e-7) and torch.equal(shared[0], together[0])
    assert not torch.allclose(shared[1], together[1], atol=1e-3)
    single, region = copy.deepcopy(net).float(), Linf(x.float(), 0.3)
    rounded = sdp_lower(as_graph(single, region), region, known, rows.float())
    assert rounded.dtype == torch.float32 and torch.allclose(rounded.double(), together, atol=1e-5)
