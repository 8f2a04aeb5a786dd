"""Regions of every kind, and what other people's solvers say of them."""

from __future__ import annotations

import cvxpy
import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from ballproof.problems import L1, L2, Box, Linf, Region
from ballproof.problems.centered import Centered

BATCH, SHAPE = 3, (2, 4)
EPS = {"linf": 0.2, "l2": 0.5, "l1": 0.9}
BALLS = {"linf": Linf, "l2": L2, "l1": L1}


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def cases(dtype: torch.dtype = torch.float64) -> dict[str, Region]:
    """Every ball uncut, cut, with a range that binds nowhere, with one end, without room; radii of 0 and larger than all."""
    center = numbers(BATCH, *SHAPE, dtype=dtype)
    center[0, 0, 0], center[1, 1, 2] = 0.0, 1.0
    found: dict[str, Region] = {"box": Box(center - numbers(BATCH, *SHAPE, seed=1, dtype=dtype), center)}
    for norm, ball in BALLS.items():
        eps = EPS[norm]
        each = torch.tensor([0.0, eps / 3, eps], dtype=dtype)
        channel = torch.tensor([0.9, 0.99], dtype=dtype).reshape(2, 1)
        middle = center.clamp(0.1, 0.9)
        found |= {
            f"{norm} free": ball(center, eps),
            f"{norm} cut": ball(center, eps, (0, 1)),
            f"{norm} cut far away": ball(center, eps, (-5, 5.0)),
            f"{norm} cut from below": ball(center, eps, (0.0, torch.inf)),
            f"{norm} cut by channel": ball(middle, eps, (1 - channel, channel)),
            f"{norm} cut by example": ball(middle, eps, (middle - numbers(BATCH, 1, 1, seed=2, dtype=dtype) / 9, 1.0)),
            f"{norm} cut to the center": ball(center, eps, (center, center)),
            f"{norm} each": ball(center, each, (0, 1)),
            f"{norm} each free": ball(center, each),
            f"{norm} point": ball(center, 0.0, (0, 1)),
            f"{norm} huge": ball(center, 100.0, (0, 1)),
        }
    found["linf pixel"] = Linf(center, numbers(BATCH, *SHAPE, seed=3, dtype=dtype) / 4, (0, 1))
    found["linf one input"] = Linf(center, numbers(*SHAPE, seed=3, dtype=dtype) / 4)
    return found


NAMES = list(cases())


def ends(region: Region, example: int) -> tuple[np.ndarray, np.ndarray]:
    """The box of one example from the settings alone: the valid range for L1 and L2, cut with the ball for Linf."""
    if isinstance(region, Box):
        return region.lower[example].flatten().numpy(), region.upper[example].flatten().numpy()
    assert isinstance(region, Centered)
    far = torch.full_like(region.center, 1e3)
    low, high = (-far, far) if region.ends is None else (t.expand(region.center.shape) for t in region.ends)
    low, high = low.clamp(min=-1e3), high.clamp(max=1e3)
    if isinstance(region, Linf):
        low = torch.maximum(low, region.center - region.reach)
        high = torch.minimum(high, region.center + region.reach)
    return low[example].flatten().numpy(), high[example].flatten().numpy()


def linear_program(region: Region, example: int, c: np.ndarray) -> float:
    """min c·x over Box, Linf or L1 by HiGHS: x, and for L1 the moves s >= |x - x0| with sum <= eps."""
    low, high = ends(region, example)
    n = len(c)
    if not isinstance(region, L1):
        return float(linprog(c, bounds=list(zip(low, high, strict=True))).fun)
    x0, eps, eye = region.center[example].flatten().numpy(), float(region.reach[example]), np.eye(n)
    above = np.block([[eye, -eye], [-eye, -eye], [np.zeros((1, n)), np.ones((1, n))]])
    found = linprog(
        np.concatenate([c, np.zeros(n)]),
        A_ub=above,
        b_ub=np.concatenate([x0, -x0, [eps]]),
        bounds=list(zip(low, high, strict=True)) + [(0, None)] * n,
    )
    return float(found.fun)


def inside(x: cvxpy.Variable, region: Region, example: int) -> list[cvxpy.Constraint]:
    low, high = ends(region, example)
    limits = [x >= low, x <= high]
    if isinstance(region, (L1, L2)):
        order = 1 if isinstance(region, L1) else 2
        limits.append(cvxpy.norm(x - region.center[example].flatten().numpy(), order) <= float(region.reach[example]))
    return limits


def cone_program(region: Region, example: int, c: np.ndarray) -> float:
    """min c·x by Clarabel."""
    x = cvxpy.Variable(len(c))
    return float(cvxpy.Problem(cvxpy.Minimize(c @ x), inside(x, region, example)).solve(solver=cvxpy.CLARABEL))


def nearest(region: Region, example: int, point: np.ndarray) -> np.ndarray:
    """The nearest point of the region by Clarabel: the square of the distance to 1e-9, so the point to about 1e-4."""
    x = cvxpy.Variable(len(point))
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(x - point)), inside(x, region, example)).solve(
        solver=cvxpy.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9
    )
    return np.asarray(x.value)
