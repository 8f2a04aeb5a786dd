"""The lower value that multipliers prove, whoever found them: weak duality, with rounding enclosed.

With multipliers `products` (>= 0, free where a product is = 0) and `diagonal` for P_ii <= 1 (and P_00 = 1) let

    S = C + diag(diagonal) - sum_k products_k · (product k),

C the query. Where S is positive semidefinite, C·P = S·P - diagonal·diag(P) + products·(values >= 0) >= -sum(diagonal), for the
diagonal >= 0 but for its first entry. Where S is not, the diagonal is raised by a number `shift` until it is: whatever the
multipliers, they prove something. That the raised matrix is semidefinite is not an eigenvalue's word: it is proven by a
Cholesky factorisation in floating point that runs to its end (Rump 2006, Verification of positive definiteness).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ballproof.bounds.program import Array
from ballproof.bounds.sdp_forms import Forms
from ballproof.errors import SoundnessError

UNIT = float(np.finfo(np.float64).eps) / 2
TRIES = 60


@dataclass(frozen=True)
class Multipliers:
    """diagonal: `(1 + variable,)`; products: one for each product of the forms."""

    diagonal: Array
    products: Array


def slack(forms: Forms, cost: Array, y: Multipliers) -> Array:
    """The matrix S of a cost row `(1 + variable,)`."""
    S = np.diag(y.diagonal) - forms.combined(y.products)
    S[0, 0] += cost[0]
    S[0, 1:] += cost[1:] / 2
    S[1:, 0] += cost[1:] / 2
    return S


def proven(forms: Forms, cost: Array, y: Multipliers) -> float:
    """A lower value of the relaxation, so of the network. Any multipliers will do; a NaN raises `SoundnessError`."""
    products = np.where(forms.equal, y.products, np.maximum(y.products, 0))
    y = Multipliers(y.diagonal, products)
    S = slack(forms, cost, y)
    if not np.isfinite(S).all():
        raise SoundnessError("a multiplier of the semidefinite relaxation is NaN or infinite")
    shift = _shift(S, _rounding(forms, cost, y))
    raised = y.diagonal + shift
    rest = np.maximum(raised[1:], 0)
    total = float(-raised[0] - rest.sum())
    return total - 2 * gamma(len(raised) + 2) * float(np.abs(raised).sum() + abs(shift))


def gamma(count: int) -> float:
    """The relative error of a sum of `count` products in any order is at most count u / (1 - count u)."""
    return count * UNIT / (1 - count * UNIT)


def _rounding(forms: Forms, cost: Array, y: Multipliers) -> float:
    """A bound on the spectral norm of the rounding of `slack`: gamma times the largest row sum of absolute values."""
    size = Forms(np.abs(forms.rows), forms.left, forms.right, forms.equal).combined(np.abs(y.products))
    rows = size.sum(1) + np.abs(y.diagonal) + np.abs(cost)
    rows[0] += np.abs(cost).sum()
    return 2 * gamma(len(y.products) + 6) * float(rows.max())


def _shift(S: Array, rounding: float) -> float:
    """A number for which S + shift I, and every matrix nearer to S than `rounding`, is semidefinite; found, then proven."""
    size = float(np.abs(S).sum(1).max())
    margin = rounding + 8 * UNIT * size
    step = margin + 4 * gamma(len(S) + 2) * float(np.abs(S.diagonal()).sum() + len(S) * size)
    low = float(linalg.eigvalsh(S, subset_by_index=[0, 0])[0])
    for attempt in range(TRIES):
        shift = -low + step * 2.0**attempt
        if semidefinite(S, shift - margin):
            return shift
    raise SoundnessError(f"no shift of a matrix of order {len(S)} was proven semidefinite: are the weights of a moderate size?")


def semidefinite(S: Array, shift: float) -> bool:
    """Whether S + shift I is proven semidefinite; the rounding of adding the shift is the caller's margin.

    Rump 2006: if the factorisation of A runs to its end, then A + gamma_(n+1) / (1 - gamma_(n+1)) tr(A) I is semidefinite.
    """
    lowered = S + shift * np.eye(len(S))
    lowered.flat[:: len(S) + 1] -= 2 * gamma(len(S) + 2) * np.abs(lowered.diagonal()).sum()
    try:
        linalg.cholesky(lowered, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        return False
    return True
