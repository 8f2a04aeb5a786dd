"""The triangle linear program between its neighbours: not below the dual methods, not above the exact minimum."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from lp_zoo import INPUTS, REGIONS, ZOO, make, point, polytope
from torch import Tensor, nn

from ballproof.bounds import LPMethod, bound, lower_bounds
from ballproof.bounds.lp import TriangleLP, lp_intervals
from ballproof.bounds.memory import Budget
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Box, Linf, Region
from oracles import enumeration

EXACT = 1e-6
"""The tolerance of the oracle's own linear programs."""


def model(net: nn.Module, region: Region, intermediate: str = "crown") -> tuple[Graph, TriangleLP]:
    graph = as_graph(net, region)
    with torch.no_grad():
        known = lp_intervals(graph, region, LPMethod(intermediate), Budget())  # type: ignore[arg-type]
    return graph, TriangleLP(graph, region, known)


def queries(seed: int, count: int = 3) -> Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("seed", range(3))
def test_not_above_the_exact_minimum(name: str, kind: str, seed: int) -> None:
    net, layers = make(name, seed)
    region, rows = REGIONS[kind](point(seed)), queries(seed)
    found = lower_bounds(net, region, rows[None], "lp")[0]
    for c, value in zip(rows, found, strict=True):
        assert float(value) <= enumeration.minimum(layers, polytope(region), c.numpy()) + EXACT


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("method", ["interval", "dual", "crown"])
def test_not_below_the_method_whose_intervals_it_stands_on(name: str, kind: str, seed: int, method: str) -> None:
    net, _ = make(name, seed)
    region, rows = REGIONS[kind](point(seed)), queries(seed)[None]
    with torch.no_grad():
        weaker = lower_bounds(net, region, rows, method)
    assert bool((lower_bounds(net, region, rows, LPMethod(method)) >= weaker - 1e-9).all())  # type: ignore[arg-type]


def test_it_is_tighter_than_crown_somewhere() -> None:
    """Without this the order above could hold because the program is just crown."""
    gaps = []
    for seed in range(5):
        net, _ = make("relu", seed)
        region, rows = REGIONS["linf"](point(seed)), queries(seed)[None]
        with torch.no_grad():
            gaps.append(float((lower_bounds(net, region, rows, "lp") - lower_bounds(net, region, rows, "crown")).max()))
    assert max(gaps) > 0.01


class PoolBeside(nn.Module):
    """max(x1, x2) - x1."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool1d(x, 2) - x[:, :, :1]


@pytest.mark.parametrize("intermediate", ["interval", "dual", "crown"])
def test_max_pooling_keeps_the_line_of_each_relaxation(intermediate: str) -> None:
    """On [0.5, 1.5] x [0, 1] by hand: max <= x1 + 0.5 gives 0.5, which is attained; max <= 1.5 alone gives 1."""
    region = Box(torch.tensor([[[0.5, 0.0]]]).double(), torch.tensor([[[1.5, 1.0]]]).double())
    found = bound(PoolBeside(), region, LPMethod(intermediate))  # type: ignore[arg-type]
    assert float(found.upper) == pytest.approx(0.5, abs=1e-9) and float(found.lower) == pytest.approx(0.0, abs=1e-9)


def alpha_dual(first: nn.Linear, last: Tensor, offset: float, x: Tensor, eps: float, alpha: np.ndarray) -> np.ndarray:
    """The dual value of one hidden layer with free lower slopes `alpha (trials, free)`, from the formula."""
    weight, bias = first.weight.detach().numpy(), first.bias.detach().numpy()
    center, reach = weight @ x.numpy() + bias, eps * np.abs(weight).sum(1)
    low, high, c = center - reach, center + reach, last.numpy()
    free = (low < 0) & (high > 0) & (c > 0)
    slope = np.where(low >= 0, 1.0, np.where(high <= 0, 0.0, high / (high - low)))
    slopes = np.tile(slope, (len(alpha), 1))
    slopes[:, free] = alpha
    lifted = np.where((low < 0) & (high > 0) & (c < 0), -slope * low, 0.0)
    hat = (slopes * c) @ weight
    return (slopes * c) @ bias + c @ lifted + offset + hat @ x.numpy() - eps * np.abs(hat).sum(1)


@pytest.mark.parametrize("seed", [1, 4, 5, 7, 9, 11])
def test_one_hidden_layer_is_the_best_dual_over_all_slopes(seed: int) -> None:
    """Strong duality (Salman et al. 2019): with exact first ends the program is the maximum over the lower slopes."""
    torch.manual_seed(seed)
    net, x, eps = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)).double(), torch.rand(3).double(), 0.5
    c = net[2].weight.detach()[0]
    ends = net[0](x).detach(), eps * net[0].weight.detach().abs().sum(1)
    free = int(((ends[0].abs() < ends[1]) & (c > 0)).sum())
    assert 1 <= free <= 3, "the grid is for one to three slopes: take another seed"
    center, width, best = np.full(free, 0.5), 0.5, -np.inf
    for _ in range(40):
        axes = [np.clip(np.linspace(m - width, m + width, 13), 0, 1) for m in center]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, free)
        values = alpha_dual(net[0], c, float(net[2].bias.detach()), x, eps, grid)
        best = max(best, float(values.max()))
        center, width = grid[values.argmax()], width * 0.7
    found = float(lower_bounds(net, Linf(x[None], eps), torch.ones(1, 1, 1).double(), "lp")[0, 0])
    assert best <= found + 1e-9 and best == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("name", list(ZOO))
def test_swapped_objectives_are_fresh_models(name: str) -> None:
    net, _ = make(name, 5)
    region, rows = REGIONS["linf-clip"](point(5)), queries(5, 8)
    _, lp = model(net, region)
    swapped = lp.minimum(rows)
    again = lp.minimum(rows.flip(0)).flip(0)
    fresh = torch.cat([model(net, region)[1].minimum(row[None]) for row in rows])
    assert torch.allclose(swapped, fresh, rtol=0, atol=1e-9) and torch.allclose(again, fresh, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("kind", ["linf", "l1-clip"])
def test_the_value_of_the_multipliers_is_the_optimum_and_never_above_it(name: str, kind: str) -> None:
    net, _ = make(name, 2)
    _, lp = model(net, REGIONS[kind](point(2)))
    solver, drawn = lp.solver, np.random.default_rng(0)
    for row in queries(2, 4):
        rows, _ = lp.triangle.rows(lp.triangle.graph.output, row[None])
        cost = rows.toarray().ravel()
        value = solver.minimum(cost)
        primal = solver.highs.getInfo().objective_function_value
        assert value <= primal + 1e-9 and value == pytest.approx(primal, abs=1e-6)
        best = np.asarray(solver.highs.getSolution().row_dual)
        for _ in range(50):
            wrong = best + drawn.normal(size=best.shape) * drawn.choice([1e-6, 1e-2, 10.0])
            assert solver.dual_value(cost, wrong) <= primal + 1e-9


@pytest.mark.parametrize("name", list(ZOO))
def test_zero_radius_is_the_forward_pass(name: str) -> None:
    net, _ = make(name, 4)
    x = point(4)
    found = bound(net, Linf(x, 0.0), "lp")
    assert torch.allclose(found.lower, net(x), rtol=0, atol=1e-9)
    assert torch.allclose(found.upper, net(x), rtol=0, atol=1e-9)


def test_a_batch_is_its_examples_alone_and_comes_back_in_its_own_type() -> None:
    net, _ = make("relu", 1)
    x, rows = torch.rand(3, INPUTS, dtype=torch.float64), torch.randn(3, 2, 2, dtype=torch.float64)
    together = lower_bounds(net, Linf(x, 0.3), rows, "lp")
    alone = torch.cat([lower_bounds(net, Linf(x[[i]], 0.3), rows[[i]], "lp") for i in range(3)])
    shared = lower_bounds(net, Linf(x, 0.3), rows[:1], "lp")
    assert torch.equal(together, alone) and torch.equal(shared[0], together[0])
    rounded = lower_bounds(copy.deepcopy(net).float(), Linf(x.float(), 0.3), rows.float(), "lp")
    assert rounded.dtype == torch.float32 and torch.allclose(rounded.double(), together, atol=1e-5)
