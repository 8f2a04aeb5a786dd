"""Solvers of mixed integer programs behind one function: what is least, or that nothing is. HiGHS unless another is chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import highspy
import numpy as np
import torch
from scipy import sparse

from ballproof.bounds.program import Array, Program
from ballproof.bounds.solver import Solver
from ballproof.errors import BallproofError
from ballproof.solve.milp_others import OTHERS, VARIABLE, Asked, LicenceError, chosen
from ballproof.values import Interval

FEASIBILITY = 1e-9
"""By how much the solver may break a row or a whole number; a choice that is broken by it opens a row by as many widths."""

TRUSTED = 1e-6
"""What a minimum has to exceed zero by, as a share of the numbers' size, to be called positive: 1000 times the above."""

MOST_PRESOLVED = 10**5
"""Numbers in the rows of a program beyond which HiGHS does not simplify it first: dense rows gain nothing by that, and it looks
at no clock meanwhile (half a million numbers took 26 s of the 3 that it had)."""

Status = highspy.HighsModelStatus


@dataclass(frozen=True, eq=False)
class Found:
    """impossible: no point meets the rows. bound: nothing is less. point: the best that was found, with its value.

    complete: nothing better than the point is left but for the gap between the two.
    """

    impossible: bool
    bound: float
    value: float = float("inf")
    point: Array | None = None
    complete: bool = True
    said: str = ""


def least(
    program: Program, whole: list[int], cost: Array, seconds: float, target: float = float("-inf"), gap: float = 0.0
) -> Found:
    """The least `cost · v` over the program with the columns `whole` integer, within the time; floats, not a certificate.

    target: a point of this value is good enough to stop. gap: so is a bound that is so near.
    """
    if whole and (name := chosen()) != "highs":
        try:
            return _by_other(name, program, whole, cost, seconds, target, gap)
        except LicenceError:
            if VARIABLE in os.environ:
                raise
    solver = Solver(program)
    highs = solver.highs
    kinds = np.full(len(whole), int(highspy.HighsVarType.kInteger), dtype=np.uint8)
    highs.changeColsIntegrality(len(whole), np.asarray(whole, dtype=np.int32), kinds)
    highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)
    options = {
        "time_limit": max(seconds, 0.0),
        "mip_feasibility_tolerance": FEASIBILITY,
        "primal_feasibility_tolerance": FEASIBILITY,
        "dual_feasibility_tolerance": FEASIBILITY,
        "mip_rel_gap": 0.0,
        "mip_abs_gap": gap,
        "objective_target": target,
        "presolve": "off" if solver.matrix.nnz > MOST_PRESOLVED else "choose",
    }
    for name, value in options.items():
        highs.setOptionValue(name, value)
    highs.run()
    found = _found(highs)
    if whole or found.impossible:
        return found
    # without whole numbers the solver has no bound of a search, but multipliers, which prove one
    multipliers = np.asarray(highs.getSolution().row_dual)
    known = found.complete and len(multipliers) == len(solver.low)
    return replace(found, bound=solver.dual_value(cost, multipliers) if known else float("-inf"))


def _by_other(name: str, program: Program, whole: list[int], cost: Array, seconds: float, target: float, gap: float) -> Found:
    """The same by Gurobi or SCIP."""
    columns, rows = program.column_ends(), program.row_ends()
    told = OTHERS[name](Asked(program.matrix(), *columns, *rows, whole, cost, seconds, target, gap, FEASIBILITY))
    if told.status == "infeasible":
        return Found(True, float("inf"))
    if told.status not in ("optimal", "time", "target"):
        raise BallproofError(f"{name} ended as `{told.status}`: nothing is proven")
    if told.point is None:
        return Found(False, told.bound, complete=False, said=told.status)
    return Found(False, min(told.bound, told.value), told.value, told.point, told.status == "optimal", told.status)


def _found(highs: highspy.Highs) -> Found:
    status, info = highs.getModelStatus(), highs.getInfo()
    if status == Status.kInfeasible:
        return Found(True, float("inf"))
    if status not in (Status.kOptimal, Status.kTimeLimit, Status.kObjectiveTarget, Status.kSolutionLimit):
        raise BallproofError(f"HiGHS ended as `{highs.modelStatusToString(status)}`: nothing is proven")
    said = str(highs.modelStatusToString(status))
    if not np.isfinite(info.objective_function_value) or info.primal_solution_status != 2:
        return Found(False, float(info.mip_dual_bound), complete=False, said=said)
    point = np.asarray(highs.getSolution().col_value)
    value, complete = float(info.objective_function_value), status == Status.kOptimal
    return Found(False, min(float(info.mip_dual_bound), value), value, point, complete, said)


def copied(program: Program) -> Program:
    """A program of its own that starts as this one."""
    return replace(
        program,
        lower=list(program.lower),
        upper=list(program.upper),
        rows=list(program.rows),
        low=list(program.low),
        high=list(program.high),
    )


def largest_row(program: Program, rows: sparse.csr_matrix, constants: Array, below: float) -> tuple[int, float]:
    """A new variable that is at least every row and at most `below`; its column, and the least it can be on the columns' ends.

    No column is added where even that exceeds `below`: then no point has all rows so low.
    """
    lower, upper = program.column_ends()
    wide = sparse.csr_matrix((rows.data, rows.indices, rows.indptr), (rows.shape[0], program.count))
    positive, negative = wide.maximum(0), wide.minimum(0)
    bottom = float((positive @ lower + negative @ upper + constants).max())
    if bottom > below:
        return -1, bottom
    ends = Interval(*(torch.tensor([e], dtype=torch.float64) for e in (bottom - 1.0, below)))
    column = program.variables(ends, "the largest row")
    own = sparse.csr_matrix(
        (np.ones(len(constants)), (np.arange(len(constants)), np.full(len(constants), column))), (len(constants), column + 1)
    )
    program.at_least(own - sparse.csr_matrix((wide.data, wide.indices, wide.indptr), own.shape), constants)
    return column, bottom
