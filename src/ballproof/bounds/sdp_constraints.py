"""The constraints of the semidefinite relaxation in one flat order: the diagonal, -P_ii >= -1, then the products of forms."""

from __future__ import annotations

import numpy as np

from ballproof.bounds.program import Array
from ballproof.bounds.sdp_forms import Forms


class Constraints:
    """A_k · P >= right_k, or = where `free` says that the multiplier is free: the entry of the constant 1, and z n = 0."""

    def __init__(self, forms: Forms) -> None:
        self.forms, self.order = forms, forms.size
        self.free = np.concatenate([np.arange(self.order) == 0, forms.equal])
        self.right = np.where(np.arange(len(self.free)) < self.order, -1.0, 0.0)

    def values(self, P: Array) -> Array:
        """All A_k · P."""
        return np.concatenate([-P.diagonal(), self.forms.products(P)])

    def matrix(self, y: Array) -> Array:
        """The sum of y_k A_k."""
        found = self.forms.combined(y[self.order :])
        found.flat[:: self.order + 1] -= y[: self.order]
        return found

    def schur(self, P: Array, Z: Array) -> Array:
        """tr(A_k P A_l Z) for all constraints k and l, from the numbers row·P·row and row·Z·row."""
        rows, left, right, n = self.forms.rows, self.forms.left, self.forms.right, self.order
        fP, fZ = rows @ P, rows @ Z
        gP, gZ = fP @ rows.T, fZ @ rows.T
        ll, rr, lr, rl = (np.ix_(a, b) for a, b in ((left, left), (right, right), (left, right), (right, left)))
        found = np.empty((len(self.free), len(self.free)))
        found[:n, :n] = P * Z
        found[n:, :n] = -(fP[left] * fZ[right] + fP[right] * fZ[left]) / 2
        found[:n, n:] = found[n:, :n].T
        found[n:, n:] = (gP[ll] * gZ[rr] + gP[rr] * gZ[ll] + gP[lr] * gZ[rl] + gP[rl] * gZ[lr]) / 4
        return found
