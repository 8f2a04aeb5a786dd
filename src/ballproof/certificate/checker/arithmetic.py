"""In which numbers the checker computes: float64 with every rounding error bounded, or fractions without any.

`gamma(n)` bounds the relative error of a sum of n products in any order (Higham 2002, section 3.1); in fractions it is 0.
Constants of the walks are whole numbers, for a float would turn every fraction that it meets into a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class RefusedError(Exception):
    """The certificate does not prove its claim, or is no certificate; the message is one line."""


class NotModelledError(Exception):
    """The network or the property has a part that this checker has no rule for."""


UNIT, UNIT32 = 2.0**-53, 2.0**-24
TINY, TINY32 = 2.0**-1000, 2.0**-126
"""What underflow may cost one operation, in float32 where small results are flushed to zero too. The first is far more than
float64 needs, and far less than any margin."""

SLOP = 1 + 2.0**-20
"""Sums of error terms are themselves rounded, by less than this factor up to 2^32 terms."""

MORE = 128
"""Roundings beyond those of a sum's own terms: scaling, a weight that is a rounded fraction, and adding up what several users
of a node send back."""


def gamma(count: int, unit: float = UNIT) -> float:
    """An upper value of `n u / (1 - n u)`."""
    return SLOP * count * unit / (1 - count * unit)


@dataclass(frozen=True)
class Arithmetic:
    """exact: fractions. deployed: what float32 may lose in the network itself is taken off as well."""

    deployed: bool = False
    exact: bool = False

    @property
    def slop(self) -> Any:
        return 1 if self.exact else SLOP

    @property
    def tiny(self) -> Any:
        return 0 if self.exact else TINY

    def gamma(self, count: int) -> Any:
        return 0 if self.exact else gamma(count + MORE)

    def scalar(self, value: float) -> Any:
        """A float that this arithmetic holds as it is."""
        return Fraction(value) if self.exact else value

    def lost(self, load: Array, steps: int, peak: Any) -> Array:
        """What float32 may be off in sums of so many rounded terms whose absolute values add up to `load`.

        peak: the largest factor that what underflow takes, of a weight or a result, is multiplied by.
        """
        if not self.deployed or not steps:
            return 0 * load
        unit = (steps + 1) * self.scalar(UNIT32)
        found: Array = load * (unit / (1 - unit) * self.slop**2) + (2 * steps + 4) * self.scalar(TINY32) * (1 + peak)
        return found

    def number(self, value: Array) -> Array:
        """Numbers of a file, in this arithmetic."""
        return np.asarray(np.frompyfunc(Fraction, 1, 1)(value), object) if self.exact else np.asarray(value, np.float64)

    def down(self, value: Array) -> Array:
        """At most the value that was rounded to this one."""
        return value if self.exact else np.nextafter(value, -np.inf)

    def up(self, value: Array) -> Array:
        """At least the value that was rounded to this one."""
        return value if self.exact else np.nextafter(value, np.inf)

    def outward(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Floats that enclose the two ends."""
        ends = np.asarray(low, np.float64), np.asarray(high, np.float64)
        return (np.nextafter(ends[0], -np.inf), np.nextafter(ends[1], np.inf)) if self.exact else ends

    def settled(self, value: Array) -> Array:
        """The value. Raises `RefusedError` where it overflowed; in fractions no float may have come in."""
        whole = all(isinstance(v, (int, Fraction)) for v in value.ravel()) if self.exact else np.isfinite(value).all()
        if not whole:
            raise RefusedError("numbers overflow on this box, or a float is among fractions")
        return value
