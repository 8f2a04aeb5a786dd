"""Support functions, projections and gradients against other people's solvers and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from region_cases import BALLS, BATCH, EPS, NAMES, SHAPE, cases, cone_program, linear_program, nearest, normal, numbers

from ballproof.problems import L2


@pytest.mark.parametrize("name", NAMES)
def test_the_minimum_is_that_of_a_solver(name: str) -> None:
    region, c = cases()[name], normal(BATCH, 3, *SHAPE, seed=20)
    c[:, 1] = c[:, 1].round()  # ties
    c[0, 2, 0] = 0
    solve = cone_program if isinstance(region, L2) else linear_program
    want = [[solve(region, b, c[b, q].flatten().numpy()) for q in range(3)] for b in range(BATCH)]
    tolerance = 2e-6 if isinstance(region, L2) else 1e-9
    np.testing.assert_allclose(region.minimum(c).numpy(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("far", [0.3, 3.0])
def test_the_projection_is_that_of_a_solver(name: str, far: float) -> None:
    region = cases()[name]
    x = region.like + far * normal(BATCH, *SHAPE, seed=21)
    want = np.stack([nearest(region, b, x[b].flatten().numpy()) for b in range(BATCH)])
    np.testing.assert_allclose(region.project(x).flatten(1).numpy(), want, atol=1e-4)


@pytest.mark.parametrize("norm", sorted(BALLS))
@pytest.mark.parametrize("cut", [False, True])
def test_many_coordinates_in_float32_are_as_exact_as_float32(norm: str, cut: bool) -> None:
    center, c = numbers(2, 3072), normal(2, 4, 3072, seed=1)
    region = BALLS[norm](center, {"linf": 8 / 255, "l2": 3.0, "l1": 40.0}[norm], (0, 1) if cut else None)
    single = region.to(dtype=torch.float32)
    torch.testing.assert_close(single.minimum(c.float()).double(), region.minimum(c), rtol=1e-5, atol=1e-3)
    x = center + normal(2, 3072, seed=2)
    landing = 2 * 16 * torch.finfo(torch.float32).eps  # moves end 16 units in the last place before eps
    torch.testing.assert_close(single.project(x.float()).double(), region.project(x), rtol=landing, atol=2e-6)
    for point in (single.project(x.float()), single.minimizer(c.float())[:, 0], single.sample()):
        assert bool(single.contains(point).all())


@pytest.mark.parametrize("norm", sorted(BALLS))
@pytest.mark.parametrize("clip", [None, (0, 1), (-9, 9)], ids=["free", "cut", "range binds nowhere"])
def test_gradients_are_finite_differences(norm: str, clip: tuple[float, float] | None) -> None:
    center = numbers(2, 6, seed=30).mul(0.8).add(0.1).requires_grad_()
    eps = torch.tensor([EPS[norm] / 2, EPS[norm] * 1.1], dtype=torch.float64, requires_grad=True)
    c = normal(2, 3, 6, seed=31).requires_grad_()
    shared = normal(1, 3, 6, seed=32).requires_grad_()
    for cotangent in (c, shared):
        assert torch.autograd.gradcheck(
            lambda a, b, d: BALLS[norm](b, d, clip).minimum(a), (cotangent, center, eps), eps=1e-7, atol=1e-5
        )


@pytest.mark.parametrize("norm", sorted(BALLS))
@pytest.mark.parametrize("clip", [None, (0, 1)])
def test_at_zero_and_at_the_ends_of_the_range_the_gradient_is_a_point_of_the_region(
    norm: str, clip: tuple[float, float] | None
) -> None:
    """The subgradients of min c·x in c are points of the region (at ties: some points of it)."""
    center = numbers(2, 6, seed=33)
    center[:, 0], center[:, 1] = 0, 1
    region = BALLS[norm](center, torch.tensor([0.0, 0.7]), clip)
    c = torch.stack([torch.zeros(6), torch.ones(6), torch.tensor([1.0, -1, 1, 0, 0, 0])]).double().repeat(2, 1, 1)
    for q in range(3):
        row = c[:, q : q + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(region.minimum(row).sum(), row)
        assert bool(torch.isfinite(gradient).all())
        assert bool(region.contains(gradient.squeeze(1), tolerance=1e-9).all())


def test_the_gradient_of_the_radius_is_minus_the_dual_norm() -> None:
    c = normal(1, 1, 6, seed=34)
    for norm, dual in (("linf", c.abs().sum()), ("l2", c.norm()), ("l1", c.abs().max())):
        eps = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(BALLS[norm](torch.full((1, 6), 0.5).double(), eps, (-9, 9)).minimum(c).sum(), eps)
        torch.testing.assert_close(found, -dual)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_wrong_multiplier_is_still_a_lower_bound(norm: str) -> None:
    """Weak duality: whatever multiplier, with its own best moves, never promises less than the region can gain."""
    region = BALLS[norm](numbers(1, 8), 0.6, (0, 1))
    size = normal(1, 1, 8).abs()
    size = size / size.amax()
    room = region.room(size)
    moves, best = region.spend(size, room)
    least = region.lagrangian(size, moves, best)
    for factor in (0.3, 0.9, 1.1, 3.0):
        price = best * factor
        own = (size / price).minimum(room) if norm == "l2" else torch.where(size > price, room, 0.0)
        assert float(region.lagrangian(size, own, price)) > float(least)
    torch.testing.assert_close((moves * size).sum(2), least)


@pytest.mark.parametrize("size", [1.0, 1e-15, 1e-24, 1e-37, 1e25])
def test_an_l2_ball_reaches_as_far_for_small_and_large_coefficients(size: float) -> None:
    """Their squares are zero or infinite in single precision."""
    rows = torch.tensor([3.0, -4.0]).repeat(32).reshape(1, 1, 64) * size
    found = L2(torch.zeros(1, 64), 0.1).minimum(rows)
    assert float(found) == pytest.approx(-0.5 * 32**0.5 * size, rel=1e-5, abs=0)
