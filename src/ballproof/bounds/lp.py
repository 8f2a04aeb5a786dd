"""The triangle linear program (Ehlers 2017; the primal of Wong & Kolter 2018) for any depth, solved by HiGHS."""

from __future__ import annotations

import highspy
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.interval import interval_pass
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import METHODS, LinearMethod, LPMethod
from ballproof.bounds.program import Array, Program, triangle_program
from ballproof.errors import SoundnessError, UnsupportedError
from ballproof.graph import Graph
from ballproof.problems import L1, Region
from ballproof.values import Interval


class TriangleLP:
    """One model for a network and one example; every query only changes the cost and starts from the last basis.

    What `minimum` returns is not the solver's word but the value of its dual multipliers, computed anew by weak duality:
    whatever the solver's tolerances, it is a lower bound of the program, up to float64 rounding.
    """

    def __init__(self, graph: Graph, region: Region, intervals: dict[str, Interval]) -> None:
        if region.norm == "l2":
            raise UnsupportedError("the linear program has no L2 ball; supported: linf, box, l1 (an L2 ball: lp_cvxpy)")
        self.program = triangle_program(graph, region.box(), intervals)
        self.output = graph.output
        if isinstance(region, L1):
            _l1_rows(self.program, region, graph.input)
        self.matrix = self.program.matrix()
        self.lower, self.upper = np.concatenate(self.program.lower), np.concatenate(self.program.upper)
        self.low, self.high = (_joined(part) for part in (self.program.low, self.program.high))
        self.solver = self._solver()

    def _solver(self) -> highspy.Highs:
        model, columns = highspy.HighsLp(), self.matrix.tocsc()
        model.num_col_, model.num_row_ = self.program.count, self.matrix.shape[0]
        model.col_cost_ = np.zeros(self.program.count)
        model.col_lower_, model.col_upper_ = self.lower, self.upper
        model.row_lower_, model.row_upper_ = self.low, self.high
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_, model.a_matrix_.index_ = columns.indptr, columns.indices
        model.a_matrix_.value_ = columns.data
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.passModel(model)
        return solver

    def minimum(self, cotangent: Tensor) -> Tensor:
        """Proven lower values of `cotangent (query, *output)` on the output over the region, `(query,)` float64."""
        rows, constant = self.program.affine(self.output, cotangent.double().cpu())
        costs = np.asarray(rows.toarray())
        found = [self._solve(cost) + c for cost, c in zip(costs, constant, strict=True)]
        return torch.tensor(found, dtype=torch.float64)

    def _solve(self, cost: Array) -> float:
        cost = np.concatenate([cost, np.zeros(self.program.count - len(cost))])
        self.solver.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
        self.solver.run()
        status = self.solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            told = self.solver.modelStatusToString(status)
            raise SoundnessError(f"the linear program ended as `{told}`, expected an optimum: an empty region, or a bug")
        return self.dual_value(cost, np.asarray(self.solver.getSolution().row_dual))

    def dual_value(self, cost: Array, multipliers: Array) -> float:
        """The bound that these row multipliers prove by weak duality; -inf is never needed, all variables are bounded."""
        ends = np.where(multipliers > 0, self.low, self.high)
        usable = np.isfinite(ends) & (multipliers != 0)
        multipliers = np.where(usable, multipliers, 0.0)
        reduced = cost - self.matrix.T @ multipliers
        corners = np.where(reduced > 0, self.lower, self.upper)
        return float(np.where(usable, ends, 0.0) @ multipliers + reduced @ corners)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)


def _l1_rows(program: Program, region: L1, name: str) -> None:
    """|x - center| <= s coordinate by coordinate, sum of s <= eps."""
    center, first = region.center.flatten().double().numpy(), program.first[name]
    count = len(center)
    box = region.box()
    reach = torch.maximum(box.upper - region.center, region.center - box.lower)
    start = program.variables("l1 moves", Interval(torch.zeros_like(reach), reach))
    each = np.arange(count)
    x = sparse.csr_matrix((np.ones(count), (each, first + each)), (count, program.count))
    s = sparse.csr_matrix((np.ones(count), (each, start + each)), (count, program.count))
    free = np.full(count, np.inf)
    program.between(x - s, -free, center)
    program.between(x + s, center, free)
    total = sparse.csr_matrix(np.ones((1, count)) @ s)
    program.between(total, np.array([-np.inf]), np.array([float(region.reach.flatten()[0])]))


def lp_intervals(graph: Graph, region: Region, method: LPMethod, budget: Budget) -> dict[str, Interval]:
    """The intermediate intervals that the program stands on."""
    if method.intermediate == "interval":
        return interval_pass(graph, region.box())
    settings = METHODS[method.intermediate]
    assert isinstance(settings, LinearMethod)
    state = LinearPass(graph, region, settings, budget).run()
    return {**interval_pass(graph, region.box()), **state.intervals}


def lp_lower(graph: Graph, region: Region, method: LPMethod, cotangent: Tensor, budget: Budget) -> Tensor:
    """`lower_bounds` by one linear program an example: `(batch, query)`. No gradient. Computed in float64 on the CPU."""
    with torch.no_grad():
        exact, wide = graph.to(device="cpu", dtype=torch.float64), region.to(device="cpu", dtype=torch.float64)
        rows = cotangent.detach().double().cpu()
        found = []
        for i in range(region.batch):
            part = wide[[i]]
            lp = TriangleLP(exact, part, lp_intervals(exact, part, method, budget))
            found.append(lp.minimum(rows[i if len(rows) > 1 else 0]))
    return torch.stack(found).to(device=region.device, dtype=region.dtype)
