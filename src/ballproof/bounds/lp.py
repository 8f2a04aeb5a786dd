"""The triangle linear program (Ehlers 2017; the primal of Wong & Kolter 2018) for any depth, solved by HiGHS."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.composition import ROWS_AT_ONCE, units
from ballproof.bounds.interval import arguments, interval_pass, step
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import METHODS, LinearMethod, LPMethod
from ballproof.bounds.program import Array, Program
from ballproof.bounds.solver import Solver
from ballproof.bounds.triangle import Triangle
from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.operations import Nonlinear
from ballproof.problems import L1, Box, Linf, Region
from ballproof.values import Interval


class TriangleLP:
    """One model for a network and one example; every query only changes the cost and starts from the last basis.

    What `minimum` returns is not the solver's word but the value of its dual multipliers, computed anew by weak duality:
    whatever the solver's tolerances, it is a lower bound of the program, up to float64 rounding.
    """

    def __init__(self, graph: Graph, region: Region, intervals: dict[str, Interval]) -> None:
        """graph, region, intervals: float64 on the CPU, one example; the ends of the arguments of nonlinear nodes."""
        if not isinstance(region, (Linf, Box, L1)):
            raise UnsupportedError(f"the linear program has no {region.norm} ball; supported: linf, box, l1 (l2: lp_cvxpy)")
        if region.batch != 1:
            raise InputError(f"`region` holds {region.batch} examples, expected one: `region[[i]]`")
        with torch.no_grad():
            self.triangle = Triangle(graph, region.box(), intervals)
        if isinstance(region, L1):
            l1_rows(self.triangle.program, region, self.triangle.composition.written[graph.input].first)
        self.solver = Solver(self.triangle.program)

    def minimum(self, cotangent: Tensor) -> Tensor:
        """Proven lower values of `cotangent (query, *output)` on the output over the region, `(query,)` float64."""
        with torch.no_grad():
            rows, constant = self.triangle.rows(self.triangle.graph.output, cotangent.detach().double().cpu())
        found = [self.solver.minimum(row.toarray().ravel()) for row in rows]
        return torch.from_numpy(np.asarray(found).reshape(-1) + constant)


def l1_rows(program: Program, region: L1, first: int) -> None:
    """|x - center| <= s coordinate by coordinate, sum of s <= eps."""
    center, box = region.center.detach().flatten().double().cpu().numpy(), region.box()
    count, ones = len(center), np.ones(len(center))
    reach = torch.maximum(box.upper - region.center, region.center - box.lower)
    start = program.variables(Interval(torch.zeros_like(reach), reach), "the moves of an L1 ball")
    x, s = program.one_each(first, ones), program.one_each(start, ones)
    program.at_most(x - s, center)
    program.at_least(x + s, center)
    total = sparse.csr_matrix((ones, (np.zeros(count, int), start + np.arange(count))), (1, program.count))
    program.at_most(total, _numbers(region.reach.flatten()[:1]))


def _numbers(value: Tensor) -> Array:
    return value.detach().double().cpu().numpy()


def lp_intervals(graph: Graph, region: Region, method: LPMethod, budget: Budget) -> dict[str, Interval]:
    """The intermediate intervals that the program stands on."""
    if method.intermediate == "lp":
        return lp_all_intervals(graph, region, budget)
    if method.intermediate == "interval":
        return dict(interval_pass(graph, region.box()))
    settings = METHODS[method.intermediate]
    assert isinstance(settings, LinearMethod)
    state = LinearPass(graph, region, settings, budget).run()
    return {**interval_pass(graph, region.box()), **state.intervals}


def lp_all_intervals(graph: Graph, region: Region, budget: Budget) -> dict[str, Interval]:
    """Both ends of every neuron that `crown` leaves unsettled, each by a program of its own, front to back.

    Source: Salman et al. 2019, `LP-all`. Price: two programs for each of these neurons.
    """
    state = LinearPass(graph, region, LinearMethod("adaptive"), budget).run()
    known = {**interval_pass(graph, region.box()), **state.intervals}
    constants, done = graph.constants(), {graph.input, *state.exact}
    for node in graph.varying:
        if isinstance(node.operation, Nonlinear):
            for name in node.inputs:
                if graph.node[name].varies and name not in done:
                    done.add(name)
                    varying = [i for i in node.inputs if graph.node[i].varies]
                    given = arguments(graph, node, known, constants)
                    mask = node.operation.unsettled(*given)[varying.index(name)]
                    known[name] = _by_programs(graph.until(name), region, known, mask)
        known[node.name] = step(graph, node, known, constants).intersect(known[node.name], node.name)
    return known


def _by_programs(graph: Graph, region: Region, known: dict[str, Interval], mask: Tensor) -> Interval:
    """The interval of the graph's output, the coordinates in `mask (1, *output)` between minima of programs."""
    own, places = known[graph.output], mask.flatten().nonzero().flatten()
    if not len(places):
        return own
    lp = TriangleLP(graph, region, known)
    lower, upper = own.lower.clone().flatten(), own.upper.clone().flatten()
    for unit, part in zip(units(len(lower), places), torch.split(places, ROWS_AT_ONCE), strict=True):
        rows = unit.reshape(-1, *graph.output_shape)
        lower[part], upper[part] = lp.minimum(rows), -lp.minimum(-rows)
    return Interval(lower.reshape(own.lower.shape), upper.reshape(own.upper.shape)).intersect(own, graph.output)


def lp_lower(graph: Graph, region: Region, method: LPMethod, cotangent: Tensor, budget: Budget) -> Tensor:
    """`lower_bounds` by one linear program an example: `(batch, query)`. No gradient. Computed in float64 on the CPU.

    cotangent: `(batch or 1, query, *output)`. Source: Ehlers 2017. Price: grows steeply with the neurons that the
    intervals leave unsettled, from 0.01 s a query for 200 of them to some 10 s for 2,000 (`triangle` says on what).
    """
    with torch.no_grad():
        exact, wide = graph.to(device="cpu", dtype=torch.float64), region.to(device="cpu", dtype=torch.float64)
        rows = cotangent.detach().double().cpu()
        found = []
        for i in range(region.batch):
            part = wide[[i]]
            lp = TriangleLP(exact, part, lp_intervals(exact, part, method, budget))
            found.append(lp.minimum(rows[i if len(rows) > 1 else 0]))
    return torch.stack(found).to(device=region.device, dtype=region.dtype)
