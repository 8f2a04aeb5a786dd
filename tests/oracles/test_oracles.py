"""The oracles against each other and against points: enumeration, rationals, and the SMT solver z3."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import z3
from torch import nn

from oracles import enumeration, rational, smooth
from oracles.maxnet import Absolute, Affine, Layers, layers, residual, value

TINY = {
    "relu": lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2)),
    "leaky": lambda: nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.2), nn.Linear(4, 2)),
    "abs": lambda: nn.Sequential(nn.Linear(2, 3), Absolute(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)),
    "pool": lambda: nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (1, 6)), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(2, 2)),
}


def tiny(name: str, seed: int) -> tuple[nn.Sequential, Layers]:
    torch.manual_seed(seed)
    net = TINY[name]().double()
    if name == "pool":
        found = layers(nn.Sequential(net[0]), (2,)) + layers(net[2:], (1, 6))
        return net, found
    return net, layers(net, (2,))


@pytest.mark.parametrize("name", list(TINY))
@pytest.mark.parametrize("seed", range(3))
def test_the_layers_are_the_network(name: str, seed: int) -> None:
    net, found = tiny(name, seed)
    for x in torch.randn(20, 2, dtype=torch.float64):
        assert np.allclose(value(found, x.numpy()), net(x[None])[0].detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("name", list(TINY))
@pytest.mark.parametrize("seed", range(3))
def test_enumeration_is_the_rational_minimum(name: str, seed: int) -> None:
    net, found = tiny(name, seed)
    lower, upper = np.array([-1.0, -0.5]), np.array([0.75, 1.0])
    c = np.random.default_rng(seed).normal(size=net[-1].out_features)
    exact = rational.minimum(found, lower, upper, c)
    assert enumeration.minimum(found, enumeration.box(lower, upper), c) == pytest.approx(float(exact), abs=1e-7)


@pytest.mark.parametrize("name", list(TINY))
def test_no_point_of_a_fine_grid_is_below_and_one_is_near(name: str) -> None:
    net, found = tiny(name, 7)
    c = np.random.default_rng(7).normal(size=net[-1].out_features)
    least = enumeration.minimum(found, enumeration.box(-np.ones(2), np.ones(2)), c)
    axis = torch.linspace(-1, 1, 401, dtype=torch.float64)
    seen = (net(torch.cartesian_prod(axis, axis)) @ torch.tensor(c)).min().item()
    assert least - 1e-7 <= seen <= least + 0.05


def test_the_l1_ball_is_its_diamond() -> None:
    ball = enumeration.l1_ball(np.array([0.5, 0.0]), 0.4, np.zeros(2), np.ones(2))
    assert ball.minimum(np.array([1.0, 0.0])) == pytest.approx(0.1)
    assert ball.minimum(np.array([-1.0, -1.0])) == pytest.approx(-0.9)
    assert ball.minimum(np.array([0.0, 1.0])) == pytest.approx(0.0)


def test_residual_layers_are_the_residual_network() -> None:
    first, second, last = (nn.Linear(*s).double() for s in ((3, 4), (4, 4), (4, 2)))
    found = residual(first, second, last)
    for x in torch.randn(20, 3, dtype=torch.float64):
        h = torch.relu(first(x))
        assert np.allclose(value(found, x.numpy()), last(torch.relu(h + second(h))).detach().numpy())


@pytest.mark.parametrize("name", ["relu", "pool"])
def test_z3_proves_the_minimum_in_real_arithmetic(name: str) -> None:
    """Nothing is below it and something is not above it, but for the tolerance of the linear programs."""
    net, found = tiny(name, 3)
    c = np.random.default_rng(3).normal(size=net[-1].out_features)
    least = enumeration.minimum(found, enumeration.box(-np.ones(2), np.ones(2)), c)
    x = [z3.Real(f"x{i}") for i in range(2)]
    output = encode(found, x)
    goal = z3.Sum([number(w) * o for w, o in zip(c, output, strict=True)])
    solver = z3.Solver()
    solver.add(*(z3.And(v >= -1, v <= 1) for v in x))
    assert solver.check(goal < number(least - 1e-6)) == z3.unsat
    assert solver.check(goal <= number(least + 1e-6)) == z3.sat


def encode(net: Layers, x: list[z3.ArithRef]) -> list[z3.ArithRef]:
    for layer in net:
        if isinstance(layer, Affine):
            rows = zip(layer.matrix, layer.offset, strict=True)
            x = [z3.Sum([number(w) * v for w, v in zip(row, x, strict=True)]) + number(o) for row, o in rows]
        else:
            x = [largest([z3.Sum([number(w) * v for w, v in zip(r, x, strict=True)]) for r in c]) for c in layer.candidates]
    return x


def largest(values: list[z3.ArithRef]) -> z3.ArithRef:
    first, *rest = values
    for v in rest:
        first = z3.If(v > first, v, first)
    return first


def number(v: float) -> z3.RatNumRef:
    top, bottom = float(v).as_integer_ratio()
    return z3.Q(top, bottom)


@pytest.mark.parametrize("kind", list(smooth.STEEPNESS))
def test_cells_find_the_minimum_of_a_fine_grid(kind: type[nn.Module]) -> None:
    """And the bounds of the activations' derivatives hold, and are reached up to a thousandth, on a fine line."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 4), kind(), nn.Linear(4, 3), kind(), nn.Linear(3, 1)).double()
    ones = torch.ones(1, 2, dtype=torch.float64)
    least = smooth.minimum(net, -ones, ones, torch.ones(1, dtype=torch.float64))
    axis = torch.linspace(-1, 1, 401, dtype=torch.float64)
    with torch.no_grad():
        assert abs(float(net(torch.cartesian_prod(axis, axis)).min()) - least) < 2e-4
    line = torch.linspace(-8, 8, 160_001, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(kind()(line).sum(), line, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), line)
    for seen, bound in zip((slope, bend), smooth.STEEPNESS[kind], strict=True):
        assert 0.999 * bound <= float(seen.detach().abs().max()) <= bound
