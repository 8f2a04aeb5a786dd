"""The semidefinite relaxation (Raghunathan et al. 2018b): bounds that see how neurons depend on each other.

`sdp_forms` says what is relaxed, `sdp_start` starts at the triangle linear program, `sdp_interior` and `sdp_first_order` search
for multipliers, `sdp_proof` turns multipliers into a proven number; `sdp_cvxpy` is the same on the blackboard.

Measured: one query, `crown` intervals, CPU seconds of one thread. Random nets inputs-width-width-10 at eps 0.1, 0.1, 0.05,
0.02, 0.02, and the published WK-small on the first MNIST image at eps 0.1. The order is 1 + inputs + unsettled neurons; each
unsettled neuron has 4 products.

    net        order  products  triangle   interior              first-order, 300 steps
    20-20         48       108  -1.169     -1.009    0.05 s      -1.014    0.15 s
    50-50        140       356  -0.444     -0.151    0.37 s      -0.167    1.3 s
    100-100      227       504  -0.286     -0.055    1.0 s       -0.154    2.3 s
    784-100      938       612  -0.714     -0.234   15 s         -0.555   27 s
    784-400     1424      2556  -1.790     -0.067  139 s         -1.358  124 s
    WK-small     936       604  13.991     14.136   21 s

So the interior point method is the better one wherever its matrix, of order + products, fits into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ballproof.bounds.program import Array
from ballproof.bounds.sdp_first_order import FirstOrder
from ballproof.bounds.sdp_forms import Lifting
from ballproof.bounds.sdp_interior import Interior
from ballproof.bounds.sdp_proof import proven
from ballproof.bounds.sdp_start import Start
from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.problems import Box, Linf, Region
from ballproof.values import Interval

SDPSolver = Literal["auto", "interior", "first-order"]
SOLVERS = ("auto", "interior", "first-order")

LARGEST = 5000
"""Constraints, order + products, up to which `auto` takes the interior point method: some 5 minutes a query, and 1.2 GB."""


class SDP:
    """The relaxation of one example; answers any number of queries."""

    def __init__(self, graph: Graph, region: Region, intervals: Mapping[str, Interval], solver: SDPSolver, steps: int) -> None:
        """graph, region, intervals: float64 on the CPU, one example; the ends of the arguments of rectifiers."""
        if not isinstance(region, (Linf, Box)):
            raise UnsupportedError(f"the semidefinite relaxation has no {region.norm} ball; supported: linf, box")
        if region.batch != 1:
            raise InputError(f"`region` holds {region.batch} examples, expected one: `region[[i]]`")
        with torch.no_grad():
            self.lifting = Lifting(graph, region.box(), intervals)
        self.forms = self.lifting.forms
        self.start = Start(self.forms) if len(self.forms.left) else None
        small = self.forms.size + len(self.forms.left) <= LARGEST
        exact = solver == "interior" or (solver == "auto" and small)
        self.search: Interior | FirstOrder = Interior(self.forms) if exact else FirstOrder(steps)

    def minimum(self, cotangent: Tensor) -> Tensor:
        """Proven lower values of `cotangent (query, *output)` on the output, `(query,)`; none is below the triangle's."""
        with torch.no_grad():
            costs = self.lifting.cost(cotangent.detach().double().cpu())
        return torch.tensor([self._one(cost) for cost in costs], dtype=torch.float64)

    def _one(self, cost: Array) -> float:
        if self.start is None:
            return float(cost[0] - np.abs(cost[1:]).sum())
        value, start = self.start.minimum(cost)
        if isinstance(self.search, Interior):
            return max(value, proven(self.forms, cost, self.search.solve(cost)))
        return max(value, proven(self.forms, cost, self.search.ascend(self.forms, cost, start)))


def sdp_lower(
    graph: Graph,
    region: Region,
    intervals: Mapping[str, Interval],
    cotangent: Tensor,
    solver: SDPSolver = "auto",
    steps: int = 300,
) -> Tensor:
    """Proven lower values of `cotangent · output` over the region, `(batch, query)`. No gradient; float64 on the CPU.

    Never looser than the triangle linear program on the same intervals; the optimum of the relaxation to about nine digits
    with the solver `interior`, somewhere between the two with `first-order`. Rows of the network are exact up to float64
    rounding, as everywhere; the eigenvalue that the proof rests on is enclosed.

    graph: its nonlinear nodes are rectifiers. region: `Linf` or `Box`. intervals: proven intervals of their arguments,
    `(batch, *node)`, by any method. cotangent: `(batch or 1, query, *output)`. solver: `interior`, `first-order`, or
    `auto`, by size. steps: of the first-order method. Raises `UnsupportedError` for other nodes and regions.
    Source: Raghunathan et al. 2018b; Dathathri et al. 2020.
    """
    _checked(solver, steps)
    exact, wide = graph.to(device="cpu", dtype=torch.float64), region.to(device="cpu", dtype=torch.float64)
    rows, found = cotangent.detach().double().cpu(), []
    for i in range(region.batch):
        known = {name: _example(ends, i) for name, ends in intervals.items()}
        found.append(SDP(exact, wide[[i]], known, solver, steps).minimum(rows[i if len(rows) > 1 else 0]))
    return torch.stack(found).to(device=region.device, dtype=region.dtype)


def _checked(solver: str, steps: int) -> None:
    if solver not in SOLVERS:
        near = get_close_matches(str(solver), SOLVERS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`solver` is {solver!r}, expected one of {', '.join(SOLVERS)}{hint}")
    if steps < 1:
        raise InputError(f"`steps` is {steps}, expected a number >= 1")


def _example(ends: Interval, i: int) -> Interval:
    """The interval of one example, float64 on the CPU; a batch axis of 1 is shared."""
    at = i if len(ends.lower) > 1 else 0
    return Interval(*(e[at : at + 1].detach().double().cpu() for e in (ends.lower, ends.upper)))
