"""Linear programs under construction: bounded variables, and rows `low <= A v <= high`. No knowledge of networks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ballproof.errors import SoundnessError
from ballproof.values import Interval

Array = NDArray[np.float64]


@dataclass
class Program:
    """Every variable has finite ends, so that any row multipliers prove a bound (weak duality). Float64 throughout."""

    count: int = 0
    lower: list[Array] = field(default_factory=list)
    upper: list[Array] = field(default_factory=list)
    rows: list[sparse.csr_matrix] = field(default_factory=list)
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)

    def variables(self, ends: Interval, what: str) -> int:
        """New variables between these ends; returns the column of the first. `what` names them in an error."""
        lower, upper = (e.detach().flatten().double().cpu().numpy() for e in (ends.lower, ends.upper))
        if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower <= upper).all()):
            raise SoundnessError(f"the ends of `{what}` are NaN, infinite or crossed: no linear program stands on them")
        self.lower.append(lower)
        self.upper.append(upper)
        first, self.count = self.count, self.count + len(lower)
        return first

    def between(self, rows: sparse.csr_matrix, low: Array, high: Array) -> None:
        """Add `low <= rows · v <= high`; the rows may be narrower than later variables make them."""
        self.rows.append(rows)
        self.low.append(low)
        self.high.append(high)

    def at_least(self, rows: sparse.csr_matrix, low: Array) -> None:
        self.between(rows, low, np.full(len(low), np.inf))

    def at_most(self, rows: sparse.csr_matrix, high: Array) -> None:
        self.between(rows, np.full(len(high), -np.inf), high)

    def one_each(self, first: int, slopes: Array) -> sparse.csr_matrix:
        """Row i holds `slopes[i]` in column `first + i`."""
        each = np.arange(len(slopes))
        return sparse.csr_matrix((slopes, (each, first + each)), (len(slopes), self.count))

    def matrix(self) -> sparse.csr_matrix:
        """All rows, as wide as all variables."""
        wide = [sparse.csr_matrix((r.data, r.indices, r.indptr), (r.shape[0], self.count)) for r in self.rows]
        return sparse.vstack(wide, format="csr") if wide else sparse.csr_matrix((0, self.count))

    def column_ends(self) -> tuple[Array, Array]:
        return joined(self.lower), joined(self.upper)

    def row_ends(self) -> tuple[Array, Array]:
        return joined(self.low), joined(self.high)


def joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)
