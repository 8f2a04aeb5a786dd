"""Other solvers of mixed integer programs, where they are installed: Gurobi and SCIP, asked as HiGHS is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from scipy import sparse

from ballproof.bounds.program import Array
from ballproof.errors import BallproofError, InputError

VARIABLE = "BALLPROOF_MILP"
"""The environment variable that names a solver."""

PACKAGES = {"highs": "highspy", "gurobi": "gurobipy", "scip": "pyscipopt"}


class LicenceError(BallproofError):
    """Gurobi is installed, and its licence does not cover the program."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Least `cost · v` for `lower <= v <= upper`, `low <= matrix v <= high`, and whole numbers in the columns `whole`.

    tolerance: of rows and whole numbers. target: a point of this value ends the search. gap: so does a bound that is so near.
    """

    matrix: sparse.csr_matrix
    lower: Array
    upper: Array
    low: Array
    high: Array
    whole: list[int]
    cost: Array
    seconds: float
    target: float
    gap: float
    tolerance: float


@dataclass(frozen=True, eq=False)
class Told:
    """status: `optimal`, `infeasible`, `time`, `target`, or the solver's own word. point: the best found, with its value."""

    status: str
    bound: float
    value: float = float("inf")
    point: Array | None = None


def chosen() -> str:
    """`highs`, `gurobi` or `scip`: what the variable says; without it Gurobi where it is installed, else HiGHS."""
    name = os.environ.get(VARIABLE, "")
    if not name:
        return "gurobi" if find_spec(PACKAGES["gurobi"]) else "highs"
    if name not in PACKAGES:
        raise InputError(f"{VARIABLE} is {name!r}, expected one of {', '.join(PACKAGES)}")
    if find_spec(PACKAGES[name]) is None:
        raise InputError(f"{VARIABLE} is {name!r}, which needs the package `{PACKAGES[name]}`")
    return name


def gurobi(asked: Asked) -> Told:
    """Raises `LicenceError` where the licence is absent or too small."""
    import gurobipy as grb

    try:
        with grb.Env(params={"OutputFlag": 0}) as env, grb.Model(env=env) as model:
            return _by_gurobi(grb, model, asked)
    except grb.GurobiError as error:
        if error.errno in (grb.GRB.Error.NO_LICENSE, grb.GRB.Error.SIZE_LIMIT_EXCEEDED):
            raise LicenceError(f"Gurobi: {error}") from None
        raise BallproofError(f"Gurobi: {error}") from None


def _by_gurobi(grb, model, asked: Asked) -> Told:  # type: ignore[no-untyped-def]
    kinds = np.full(len(asked.cost), grb.GRB.CONTINUOUS)
    kinds[asked.whole] = grb.GRB.INTEGER
    v = model.addMVar(len(asked.cost), lb=asked.lower, ub=asked.upper, obj=asked.cost, vtype=kinds)
    for matrix, ends, sense in _sided(asked):
        model.addMConstr(matrix, v, sense, ends)
    settings = {
        "Threads": 1,
        "TimeLimit": max(asked.seconds, 0.0),
        "FeasibilityTol": asked.tolerance,
        "IntFeasTol": asked.tolerance,
        "OptimalityTol": asked.tolerance,
        "MIPGap": 0.0,
        "MIPGapAbs": asked.gap,
        "BestObjStop": asked.target,
        "DualReductions": 0,
    }
    for name, value in settings.items():
        model.setParam(name, value)
    model.optimize()
    words = {
        grb.GRB.OPTIMAL: "optimal",
        grb.GRB.INFEASIBLE: "infeasible",
        grb.GRB.TIME_LIMIT: "time",
        grb.GRB.USER_OBJ_LIMIT: "target",
    }
    status = words.get(model.Status, f"status {model.Status}")
    bound = float(model.ObjBound) if status in ("optimal", "time", "target") else -np.inf
    if not model.SolCount:
        return Told(status, bound)
    return Told(status, bound, float(model.ObjVal), np.asarray(v.X, dtype=np.float64))


def scip(asked: Asked) -> Told:
    """Of the packages that need no licence."""
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    whole = set(asked.whole)
    v = [
        model.addVar(lb=a, ub=b, obj=c, vtype="I" if i in whole else "C")
        for i, (a, b, c) in enumerate(zip(asked.lower.tolist(), asked.upper.tolist(), asked.cost.tolist(), strict=True))
    ]
    for matrix, ends, sense in _sided(asked):
        for start, stop, end in zip(matrix.indptr[:-1], matrix.indptr[1:], ends.tolist(), strict=True):
            row = quicksum(float(a) * v[i] for i, a in zip(matrix.indices[start:stop], matrix.data[start:stop], strict=True))
            model.addCons(row <= end if sense == "<" else row >= end)
    settings = {
        "limits/time": max(asked.seconds, 0.0),
        "limits/gap": 0.0,
        "limits/absgap": asked.gap,
        "numerics/feastol": asked.tolerance,
        "numerics/dualfeastol": asked.tolerance,
    }
    if np.isfinite(asked.target):
        settings["limits/primal"] = asked.target
    for name, value in settings.items():
        model.setParam(name, value)
    model.optimize()
    words = {"gaplimit": "optimal", "timelimit": "time", "primallimit": "target"}
    status = words.get(model.getStatus(), model.getStatus())
    bound = float(model.getDualbound()) if status in ("optimal", "time", "target") else -np.inf
    best = model.getBestSol() if model.getNSols() and status != "infeasible" else None
    if best is None:
        return Told(status, bound)
    return Told(status, bound, float(model.getSolObjVal(best)), np.array([best[x] for x in v]))


def _sided(asked: Asked) -> list[tuple[sparse.csr_matrix, Array, str]]:
    """The rows with an upper end, and those with a lower one."""
    found = []
    for ends, sense in ((asked.high, "<"), (asked.low, ">")):
        keep = np.isfinite(ends).nonzero()[0]
        if len(keep):
            found.append((asked.matrix[keep], ends[keep], sense))
    return found


OTHERS: dict[str, Callable[[Asked], Told]] = {"gurobi": gurobi, "scip": scip}
