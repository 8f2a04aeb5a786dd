"""Functions of one variable: values at points that are certain, and lines that are certain to enclose them on an interval.

On a piece of width h a function whose second derivative is at most M in size lies within `M h^2 / 8` of the chord. So, for
any slope s, `f(x) - s x` is on the whole interval at least its least value on a grid less that, and at most its largest and
that. The slope is chosen among those that the grid shows; no choice can be wrong. Steps (Sign, Floor) never fall: they have
their values at the two ends, and lines of slope 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import TINY, UNIT, Arithmetic, Array, RefusedError

Pair = tuple[Array, Array]

PIECES = 16
CHORDS = (0, PIECES), (0, 1), (PIECES - 1, PIECES), (PIECES // 2 - 1, PIECES // 2 + 1)
"""Of which points the slopes are tried, beside 0."""

HALVINGS, DEGREE, RELATIVE = 10, 20, 2.0**-34
FAR, FARTHEST = 500.0, 700.0
ANGLE = 2.0**-28


def exponential(x: Array) -> Pair:
    """Taylor's series at x / 2^10, squared ten times.

    There |x| is at most 0.69; what the series leaves out is below 0.69^21 / 21! e^0.69 < 2^-75, Horner's rule rounds by less
    than 100 units, and ten squarings multiply a relative error by 2^10: together less than 2^-34.
    """
    y = np.clip(x, -FARTHEST, FARTHEST) / 2**HALVINGS
    value = np.ones_like(y)
    for k in range(DEGREE, 0, -1):
        value = 1 + value * y / k
    for _ in range(HALVINGS):
        value = value * value
    low, high = value * (1 - RELATIVE), value * (1 + RELATIVE)
    return np.where(x < -FARTHEST, 0.0, low), np.where(x > FARTHEST, np.inf, high)


def logarithm(x: Array) -> Pair:
    """NumPy's answer and as much on both sides as `exponential` needs to say that the truth is between."""
    near = np.log(np.maximum(x, 2.0**-1000))
    wide = 4 * RELATIVE * (1 + np.abs(near))
    low, high = near - wide, near + wide
    if not ((exponential(low)[1] <= x) & (exponential(high)[0] >= x)).all():
        raise RefusedError("a logarithm that is not certain")
    return low, high


def _rounded(value: Array, units: float = 8 * UNIT) -> Pair:
    wide = np.abs(value) * units
    return np.nextafter(value - wide, -np.inf), np.nextafter(value + wide, np.inf)


def sigmoid(x: Array) -> Pair:
    low, high = exponential(-x)
    return _rounded(1 / (1 + high))[0], _rounded(1 / (1 + low))[1]


def tanh(x: Array) -> Pair:
    low, high = sigmoid(2 * x)
    return _rounded(2 * low)[0] - 1 - 4 * UNIT, _rounded(2 * high)[1] - 1 + 4 * UNIT


def softplus(x: Array) -> Pair:
    """`log(1 + e^x)`."""
    low, high = exponential(np.minimum(x, FAR))
    ends = logarithm(_rounded(1 + low)[0])[0], logarithm(_rounded(1 + high)[1])[1]
    return np.where(x > FAR, x, ends[0]), np.where(x > FAR, np.nextafter(x, np.inf), ends[1])


def sine(x: Array, quarter: int = 0) -> Pair:
    """Taylor's series up to |x| = 8: its terms add up to less than e^8, rounded by less than 200 units; the rest 8^49/49!."""
    near, value = np.clip(x, -8, 8), np.zeros_like(x)
    term = np.ones_like(x) if quarter else near
    for k in range(2 - quarter, 50, 2):
        value, term = value + term, -term * near * near / (k * (k + 1))
    wide = np.where(np.abs(x) <= 8, 3000 * 200 * UNIT, 3)
    return np.maximum(value - wide, -1), np.minimum(value + wide, 1)


def erf(x: Array) -> Pair:
    """`2 x / sqrt(pi) e^(-x^2) sum (2 x^2)^n / (1 3 5 ... (2n + 1))` up to |x| = 6; all terms are positive, the rest is below
    2^-100 of them. Beyond, 1 less than 2^-50."""
    near = np.clip(x, -6, 6)
    term = total = np.ones_like(near)
    for n in range(1, 250):
        term = term * (2 * near * near / (2 * n + 1))
        total = total + term
    value = 1.1283791670955126 * near * total
    low, high = exponential(-near * near)
    ends = np.sort([value * low * (1 - 2 * RELATIVE), value * high * (1 + 2 * RELATIVE), value * low, value * high], 0)
    far = (np.abs(x) > 6) * 2.0**-50
    return np.maximum(ends[0] - far, -1), np.minimum(ends[-1] + far, 1)


def arctangent(x: Array) -> Pair:
    """Taylor's series at the angle halved three times, whose tangent is below 0.2: what it leaves out is below 0.2^33. That and
    all roundings, and what is left of a right angle beyond 2^50, are far less than `ANGLE`."""
    y, value = np.clip(x, -(2.0**50), 2.0**50), np.zeros_like(x)
    for _ in range(3):
        y = y / (1 + np.sqrt(1 + y * y))
    for k in range(15, -1, -1):
        value = 1 / (2 * k + 1) - value * y * y
    return 8 * y * value - ANGLE, 8 * y * value + ANGLE


def _positive(value: Array) -> Array:
    if bool((value <= 0).any()):
        raise RefusedError("a quotient, root or logarithm on an interval that reaches zero")
    return value


CURVES: dict[str, tuple[Callable[[Array], Pair], Callable[[Array, Array], Any], int]] = {
    "Exp": (exponential, lambda low, high: exponential(high)[1], 1),
    "Log": (logarithm, lambda low, high: 1 / _positive(low) ** 2, 1),
    "Sigmoid": (sigmoid, lambda low, high: 0.0963, 1),  # 1 / (6 sqrt 3)
    "Tanh": (tanh, lambda low, high: 0.77, 1),  # 4 / (3 sqrt 3)
    "Softplus": (softplus, lambda low, high: 0.25, 1),
    "Erf": (erf, lambda low, high: 0.97, 1),  # 4 / sqrt(2 e pi)
    "Sin": (sine, lambda low, high: 1.0, 0),
    "Cos": (lambda x: sine(x, 1), lambda low, high: 1.0, 0),
    "Atan": (arctangent, lambda low, high: 0.65, 1),  # 3 sqrt 3 / 8
    "Sqrt": (lambda x: _rounded(np.sqrt(x)), lambda low, high: _positive(low) ** -1.5 / 4, 1),
    "Reciprocal": (lambda x: _rounded(1 / x), lambda low, high: 2 / _positive(np.maximum(low, -high)) ** 3, -1),
    "Square": (lambda x: _rounded(x * x), lambda low, high: 2.0, 0),
}
"""Enclosures at points, how large the second derivative can be on an interval, and whether it rises (1) or falls (-1) there."""

STEPS: dict[str, Callable[[Array], Array]] = {"Sign": np.sign, "Floor": np.floor, "Ceil": np.ceil, "Round": np.round}
"""Functions that never fall, and are exact in float64 and float32 alike."""


def enclosed(kind: str, low: Array, high: Array, exact: Arithmetic) -> tuple[Array, ...]:
    """Of the function on `[low, high]`: its least and largest value, slope and offset of a line below, and of one above."""
    low, high = exact.outward(low, high)
    if kind in STEPS:
        ends, zero = (STEPS[kind](low), STEPS[kind](high)), np.zeros_like(low)
        return tuple(map(exact.number, (*ends, zero, ends[0], zero, ends[1])))
    value, bend, rises = CURVES[kind]
    grid = np.clip(np.linspace(low, high, PIECES + 1), low, high)
    width = np.nextafter(np.diff(grid, axis=0).max(0), np.inf)
    strayed = bend(low, high) * width**2 / 8 * (1 + 2.0**-40) + TINY
    below, above = value(grid)
    runs = ((below[b] - below[a], np.where(grid[b] > grid[a], grid[b] - grid[a], np.inf)) for a, b in CHORDS)
    slopes = np.array([np.zeros_like(low), *(rise / run for rise, run in runs)])
    offsets = np.array([_offsets(slope, grid, below, above, strayed) for slope in slopes])
    found = [below.min(0), above.max(0)] if rises else [*offsets[0]]
    for side, sign in enumerate((1, -1)):  # the line below that is the highest in the middle, and the lowest one above
        best = (sign * (slopes * grid[PIECES // 2] + offsets[:, side])).argmax(0)[None]
        found += [np.take_along_axis(values, best, 0)[0] for values in (slopes, offsets[:, side])]
    if not all(np.isfinite(v).all() for v in found):
        raise RefusedError(f"{kind} overflows on this box")
    return tuple(map(exact.number, found))


def _offsets(slope: Array, grid: Array, below: Array, above: Array, strayed: Array) -> Pair:
    """Offsets of the lines of this slope below and above."""
    product = slope * grid
    wide = (np.abs(product) + np.abs(below) + np.abs(above)) * (8 * UNIT) + TINY
    low, high = (below - product - wide).min(0), (above - product + wide).max(0)
    return _rounded(low - strayed)[0], _rounded(high + strayed)[1]
