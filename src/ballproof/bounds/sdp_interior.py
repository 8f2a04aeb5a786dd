"""A primal-dual interior point method for the semidefinite relaxation: multipliers that are optimal to about nine digits.

The direction is that of Helmberg, Rendl, Vanderbei and Wolkowicz (1996) with Mehrotra's corrector. Every constraint is an
entry of the diagonal or a product of two rows, so no matrix is kept for a constraint (`sdp_constraints`). What comes back
is only multipliers; `sdp_proof` says what they prove, so neither a stop too early nor a rounded step can make a bound
unsound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ballproof.bounds.program import Array
from ballproof.bounds.sdp_constraints import Constraints
from ballproof.bounds.sdp_forms import Forms
from ballproof.bounds.sdp_proof import Multipliers, slack

GAP = 1e-9
"""Of the largest coefficient of the query: where the method stops."""

STEPS = 60
"""Twelve to thirty are usual; more than this is a stall."""

BACK = 0.95
"""How far a step goes to the boundary of the cones."""

SHRINK = 0.8
SHORTEST = 1e-8


@dataclass(frozen=True)
class Point:
    """P and S positive definite; y the multipliers; s what an inequality leaves (0 and unused for an equality)."""

    P: Array
    S: Array
    s: Array
    y: Array

    def moved(self, by: Point, primal: float, dual: float) -> Point:
        return Point(self.P + primal * by.P, self.S + dual * by.S, self.s + primal * by.s, self.y + dual * by.y)


class Interior:
    """Serves all queries of one relaxation."""

    def __init__(self, forms: Forms) -> None:
        self.forms, self.order, self.constraints = forms, forms.size, Constraints(forms)
        self.free = self.constraints.free
        self.count = self.order + int((~self.free).sum())

    def solve(self, cost: Array) -> Multipliers:
        """Multipliers for a cost row `(1 + variable,)`."""
        scale = float(np.abs(cost[1:]).max(initial=0)) or 1.0
        at = self._start(cost[1:] / scale)
        for _ in range(STEPS):
            if self._gap(at) < GAP * self.count:
                break
            following = self._step(at)
            if following is None:
                break
            at = following
        diagonal, products = scale * at.y[: self.order], scale * at.y[self.order :]
        diagonal[0] -= cost[0]
        return Multipliers(diagonal, products)

    def _gap(self, at: Point) -> float:
        return float((at.P * at.S).sum() + at.s @ at.y)

    def _start(self, linear: Array) -> Point:
        """P diagonal inside the box; the diagonal multipliers large enough for S to be diagonally dominant."""
        products = np.where(self.forms.equal, 0.0, 1 / max(1, self.order))
        S = slack(self.forms, np.concatenate([[0.0], linear]), Multipliers(np.zeros(self.order), products))
        reach = np.abs(S).sum(1) + 1
        P = np.diag(np.where(np.arange(self.order) == 0, 1.0, 0.5))
        return Point(P, S + np.diag(reach), np.where(self.free, 0, 0.5), np.concatenate([reach, products]))

    def _step(self, at: Point) -> Point | None:
        """Predict, correct, and go most of the way to the boundary; None where rounding leaves no way to go."""
        try:
            Z = _inverse(at.S)
            ratio = at.s / np.where(self.free, 1, at.y)
            schur = self.constraints.schur(at.P, Z)
            schur.flat[:: len(schur) + 1] += ratio
            newton = Newton(self.constraints, at, Z, ratio, linalg.cho_factor(schur, overwrite_a=True, check_finite=False))
        except linalg.LinAlgError:
            return None
        mu = self._gap(at) / self.count
        first = newton.direction(0.0, None)
        ahead = self._gap(at.moved(first, *self._lengths(at, first))) / self.count
        target = mu * float(np.clip((ahead / mu) ** 2, 1e-4, 0.8))
        final = newton.direction(target, first)
        primal, dual = self._lengths(at, final)
        return None if max(primal, dual) < SHORTEST else at.moved(final, primal, dual)

    def _lengths(self, at: Point, by: Point) -> tuple[float, float]:
        """How far the primal and the dual part may go, each at most 1."""
        tight = ~self.free
        return _length(at.P, by.P, at.s[tight], by.s[tight]), _length(at.S, by.S, at.y[tight], by.y[tight])


@dataclass(frozen=True)
class Newton:
    """The linear system at one point, factored."""

    constraints: Constraints
    at: Point
    Z: Array
    ratio: Array
    factor: tuple[Array, bool]

    def direction(self, target: float, predicted: Point | None) -> Point:
        """Towards the central path's point with P S = target I; with the second-order terms of a predicted direction."""
        all_, at, free = self.constraints, self.at, self.constraints.free
        base, rest = target * self.Z - at.P, np.where(free, 0, target / np.where(free, 1, at.y) - at.s)
        if predicted is not None:
            base -= _symmetric(predicted.P @ predicted.S @ self.Z)
            rest -= np.where(free, 0, predicted.s * predicted.y / np.where(free, 1, at.y))
        gap = all_.right - all_.values(at.P + base) + at.s + rest
        y: Array = linalg.cho_solve(self.factor, gap, check_finite=False)
        S = -all_.matrix(y)
        return Point(base - _symmetric(at.P @ S @ self.Z), S, rest - self.ratio * y, y)


def _inverse(S: Array) -> Array:
    """Of a positive definite matrix; any other raises `LinAlgError`."""
    factor = linalg.cholesky(S, lower=True, check_finite=False)
    return _symmetric(linalg.cho_solve((factor, True), np.eye(len(S)), check_finite=False))


def _symmetric(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2


def _length(matrix: Array, by: Array, values: Array, moves: Array) -> float:
    """A step that keeps a matrix positive definite and values positive, at most 1."""
    falling = moves < 0
    length = min(1.0, BACK * float((values[falling] / -moves[falling]).min(initial=np.inf)))
    while length > SHORTEST:
        try:
            linalg.cholesky(matrix + length / BACK * by, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            length *= SHRINK
        else:
            return length
    return 0.0
