"""The same linear program as one would write it on a blackboard, through CVXPY: slow, readable, with any ball.

For teaching and as a second opinion; needs the extra `lp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ballproof.bounds.program import triangle_program
from ballproof.errors import InputError, SoundnessError
from ballproof.graph import Graph
from ballproof.problems import L1, L2, Region
from ballproof.values import Interval


def lp_minimum_cvxpy(graph: Graph, region: Region, intervals: dict[str, Interval], cotangent: Tensor) -> Tensor:
    """The minimum of each `cotangent (query, *output)` over the triangle relaxation of one example, `(query,)` float64.

    The solver's own optimum, to its tolerance: an estimate of the program's value, not a proof.
    """
    try:
        import cvxpy as cp
    except ImportError as error:
        raise InputError("CVXPY is not installed: pip install 'ballproof[lp]'") from error
    with torch.no_grad():
        program = triangle_program(graph, region.box(), intervals)
        costs, constants = program.affine(graph.output, cotangent.double())
    v = cp.Variable(program.count)
    matrix, low, high = program.matrix(), np.concatenate(program.low), np.concatenate(program.high)
    constraints: list[Any] = [v >= np.concatenate(program.lower), v <= np.concatenate(program.upper)]
    constraints += [matrix[np.isfinite(low)] @ v >= low[np.isfinite(low)]]
    constraints += [matrix[np.isfinite(high)] @ v <= high[np.isfinite(high)]]
    constraints += _ball(cp, v[: int(torch.Size(region.shape).numel())], region)
    found = []
    for cost, constant in zip(np.asarray(costs.toarray()), constants, strict=True):
        wide = np.concatenate([cost, np.zeros(program.count - len(cost))])
        problem = cp.Problem(cp.Minimize(wide @ v), constraints)
        problem.solve(solver=cp.CLARABEL)
        if problem.status not in ("optimal", "optimal_inaccurate"):
            raise SoundnessError(f"the linear program ended as `{problem.status}`, expected an optimum")
        found.append(float(problem.value) + constant)
    return torch.tensor(found, dtype=torch.float64)


def _ball(cp: Any, x: Any, region: Region) -> list[Any]:
    """What a ball says beyond its box."""
    if not isinstance(region, (L1, L2)):
        return []
    center, eps = region.center.flatten().double().numpy(), float(region.reach.flatten()[0])
    return [cp.norm(x - center, 1 if isinstance(region, L1) else 2) <= eps]
