"""Exact arithmetic on arrays: whole numbers with one power of two below them all. Every float is such a number."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ballproof.errors import InputError

Whole = NDArray[Any]
"""Python's own integers, which never overflow."""

DIGITS = 53


@dataclass(frozen=True, eq=False)
class Dyadic:
    """The numbers `whole / 2**below`, exactly."""

    whole: Whole
    below: int

    @staticmethod
    def of(values: NDArray[np.float64]) -> Dyadic:
        """Floats as the rationals that they are; NaN and infinity are refused."""
        if not np.isfinite(values).all():
            raise InputError("a number of the network or of the property is NaN or infinite; exact arithmetic has neither")
        fraction, exponent = np.frexp(values)
        whole = (fraction * 2.0**DIGITS).astype(np.int64)
        exponent = np.where(whole == 0, 0, exponent.astype(np.int64) - DIGITS)
        low = min(int(exponent.min(initial=0)), 0)
        shifts = (exponent - low).astype(object)
        return Dyadic(whole.astype(object) * 2**shifts, -low)

    @staticmethod
    def zeros(*shape: int) -> Dyadic:
        return Dyadic(np.zeros(shape, dtype=object), 0)

    def __getitem__(self, index: Any) -> Dyadic:
        return Dyadic(np.asarray(self.whole[index], dtype=object), self.below)

    def __len__(self) -> int:
        return len(self.whole)

    def __add__(self, other: Dyadic) -> Dyadic:
        a, b = aligned([self, other])
        return Dyadic(a.whole + b.whole, a.below)

    def __mul__(self, other: Dyadic) -> Dyadic:
        return Dyadic(self.whole * other.whole, self.below + other.below)

    def __neg__(self) -> Dyadic:
        return Dyadic(-self.whole, self.below)

    def times(self, other: Dyadic) -> Dyadic:
        """The matrix product; zeros on the left cost nothing."""
        rows = np.zeros((len(self.whole), other.whole.shape[1]), dtype=object)
        for i, row in enumerate(self.whole):
            (at,) = np.nonzero(row)
            if len(at):
                rows[i] = row[at] @ other.whole[at]
        return Dyadic(rows, self.below + other.below)

    def wide(self, columns: int) -> Dyadic:
        """Zeros behind the columns, up to so many."""
        more = np.zeros((len(self.whole), columns - self.whole.shape[1]), dtype=object)
        return Dyadic(np.concatenate([self.whole, more], 1), self.below)

    def fractions(self) -> list[Fraction]:
        """The numbers of a single axis."""
        return [Fraction(int(n), 1 << self.below) for n in self.whole.reshape(-1)]


def aligned(parts: list[Dyadic]) -> list[Dyadic]:
    """The same numbers over the same power of two."""
    below = max(p.below for p in parts)
    return [Dyadic(p.whole * (1 << (below - p.below)), below) for p in parts]


def joined(parts: list[Dyadic]) -> Dyadic:
    """One behind the other along axis 0."""
    same = aligned(parts)
    return Dyadic(np.concatenate([p.whole for p in same]), same[0].below)


def dyadic(value: Fraction) -> Dyadic:
    """A single number whose denominator is a power of two."""
    below = value.denominator.bit_length() - 1
    assert value.denominator == 1 << below
    return Dyadic(np.array(value.numerator, dtype=object), below)


def float_below(value: Fraction) -> Fraction:
    """The largest float at or below the number, as a number: short digits, on the safe side."""
    near = float(value)
    return Fraction(near if Fraction(near) <= value else float(np.nextafter(near, -np.inf)))


def float_above(value: Fraction) -> Fraction:
    return -float_below(-value)
