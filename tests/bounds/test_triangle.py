"""The triangle program against CVXPY, against enumeration of activation patterns, and against the dual bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from ballproof.bounds import LPMethod, lower_bounds
from ballproof.bounds.lp import TriangleLP, lp_intervals
from ballproof.bounds.lp_cvxpy import lp_minimum_cvxpy
from ballproof.bounds.memory import Budget
from ballproof.errors import InputError
from ballproof.networks import as_graph
from ballproof.problems import L1, L2, Box, Linf, Region

NETS = {
    "2-100-2": (lambda: nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 2)), (2,)),
    "deep": (lambda: nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 9), nn.LeakyReLU(0.1), nn.Linear(9, 3)), (3,)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)), (1, 4, 4)),
}


def regions(x: torch.Tensor) -> list[Region]:
    return [Linf(x, 0.1), Linf(x, 0.4, clip=(0, 1)), L1(x, 0.3, clip=(0, 1)), Box(x - 0.2, x + 0.05)]


@pytest.mark.parametrize("name", list(NETS))
def test_it_agrees_with_cvxpy_and_is_not_below_crown_or_dual(name: str) -> None:
    torch.manual_seed(0)
    make, shape = NETS[name]
    net, x = make().double(), torch.rand(1, *shape, dtype=torch.float64)
    rows = torch.randn(1, 3, net(x).shape[1], dtype=torch.float64)
    for region in regions(x):
        graph = as_graph(net, region)
        for intermediate in ("dual", "crown", "interval"):
            method = LPMethod(intermediate)  # type: ignore[arg-type]
            intervals = lp_intervals(graph, region, method, Budget())
            found = lower_bounds(net, region, rows, method)
            with torch.no_grad():
                wanted = lp_minimum_cvxpy(graph, region, intervals, rows[0])
                below = lower_bounds(net, region, rows, {"interval": "crown-interval"}.get(intermediate, intermediate))
            assert torch.allclose(found[0], wanted, atol=1e-6)
            assert bool((found >= below - 1e-9).all()), (region.norm, intermediate)


def test_an_l2_ball_is_refused_by_the_solver_and_answered_by_cvxpy() -> None:
    net, x = NETS["deep"][0]().double(), torch.rand(1, 3, dtype=torch.float64)
    region, rows = L2(x, 0.2), torch.randn(1, 2, 3, dtype=torch.float64)
    with pytest.raises(InputError, match=r"(?i)l2"):
        lower_bounds(net, region, rows, "lp")
    graph = as_graph(net, region)
    intervals = lp_intervals(graph, region, LPMethod(), Budget())
    with torch.no_grad():
        found = lp_minimum_cvxpy(graph, region, intervals, rows[0])
        below = lower_bounds(net, region, rows, "crown")
    assert bool((found >= below[0] - 1e-6).all())
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        assert bool(((rows[0] * net(region.sample(generator))).sum(1).detach() >= found - 1e-6).all())


def exact_minimum(net: nn.Sequential, lower: np.ndarray, upper: np.ndarray, row: np.ndarray) -> float:
    """The minimum over a box by one linear program for each activation pattern of a fully connected rectifier net."""
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in net if isinstance(m, nn.Linear)]
    hidden = sum(len(b) for _, b in layers[:-1])
    best = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=hidden):
        left, matrix, offset, cuts, ends = list(pattern), np.eye(len(lower)), np.zeros(len(lower)), [], []
        for weight, bias in layers[:-1]:
            z, c = weight @ matrix, weight @ offset + bias
            on = np.array([left.pop(0) for _ in bias])
            sign = np.where(on > 0, -1.0, 1.0)
            cuts.append(sign[:, None] * z)
            ends.append(-sign * c)
            matrix, offset = on[:, None] * z, on * c
        final = row @ layers[-1][0]
        solved = linprog(final @ matrix, np.vstack(cuts), np.concatenate(ends), bounds=list(zip(lower, upper, strict=True)))
        if solved.status == 0:
            best = min(best, solved.fun + final @ offset + row @ layers[-1][1])
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(2, 6, 2), (2, 3, 3, 2)])
def test_every_method_is_below_the_true_minimum(sizes: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())][:-1]
    net, x = nn.Sequential(*layers).double(), torch.rand(1, 2, dtype=torch.float64)
    region, row = Linf(x, 0.5), torch.randn(1, 1, 2, dtype=torch.float64)
    box = region.box()
    truth = exact_minimum(net, box.lower[0].numpy(), box.upper[0].numpy(), row[0, 0].numpy())
    with torch.no_grad():
        found = {m: lower_bounds(net, region, row, m).item() for m in ("interval", "dual", "crown", "lp")}
    assert max(found.values()) <= truth + 1e-9
    assert found["lp"] >= found["crown"] - 1e-9
    dense = torch.cartesian_prod(*[torch.linspace(0, 1, 60, dtype=torch.float64)] * 2) - 0.5 + x
    assert truth <= (net(dense) @ row[0, 0]).min().item() + 1e-9


def test_a_point_is_the_network_and_swapped_costs_are_fresh_models() -> None:
    torch.manual_seed(3)
    net, x = NETS["deep"][0]().double(), torch.rand(1, 3, dtype=torch.float64)
    rows = torch.randn(1, 5, 3, dtype=torch.float64)
    point = lower_bounds(net, Linf(x, 0.0), rows, "lp")
    assert torch.allclose(point[0], rows[0] @ net(x)[0].detach(), atol=1e-7)
    region = Linf(x, 0.3)
    graph = as_graph(net, region)
    with torch.no_grad():
        intervals = lp_intervals(graph, region, LPMethod(), Budget())
        model = TriangleLP(graph.to(dtype=torch.float64), region, intervals)
        together = model.minimum(rows[0])
        alone = [TriangleLP(graph, region, intervals).minimum(rows[0, [i]])[0] for i in range(5)]
    assert torch.allclose(together, torch.stack(alone), atol=1e-9)
