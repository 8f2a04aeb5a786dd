"""The best line on an interval where a function bends both ways, and inverse derivatives from a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ballproof.values import Interval

if TYPE_CHECKING:
    from ballproof.operations.scalar import Scalar

HALVINGS = 30
"""A slope to nine digits. Rounding it further changes nothing: the offset is exact for any slope."""

TABLE_REACH, TABLE_SIZE = 32.0, 4097
"""Beyond the reach the derivatives of the functions of a table are constant to float32 accuracy."""

STEPS, STEPS_SINGLE = 6, 2
"""In a cell of the table, in double and in single precision. Offsets are then as good as those of 60 halvings, as tested."""


def envelope_slope(scalar: Scalar, x: Interval, side: int) -> Tensor:
    """The slope of the lower (side 1) or upper (side -1) convex envelope in the middle of each interval, by halving.

    That line leaves the least area between it and the function among all lines on its side.
    """
    center, ends = x.center, [scalar.forward(e) for e in (x.lower, x.upper)]
    extreme = scalar.offset(x, torch.zeros_like(center), side)
    reach = (extreme - ends[0]) / (center - x.lower), (ends[1] - extreme) / (x.upper - center)
    low, high = torch.minimum(*reach), torch.maximum(*reach)
    for _ in range(HALVINGS):
        slope = (low + high) / 2
        points, heights = zip(*scalar.heights(x, slope, side), strict=True)
        values = torch.stack(heights)
        best = values.argmin(0) if side > 0 else values.argmax(0)
        touched = torch.stack(points).gather(0, best.unsqueeze(0)).squeeze(0)
        rises = (touched < center) == (side > 0)
        low, high = torch.where(rises, slope, low), torch.where(rises, high, slope)
    return (low + high) / 2


def best_chord(scalar: Scalar, x: Interval, side: int) -> Tensor:
    """Of a piecewise linear function: the chord between breaks and ends whose line is best in the middle."""
    return best_slope(scalar, x, [scalar.chord(Interval(a, b)) for a, b in combinations(scalar.places(x), 2)], side)


def best_slope(scalar: Scalar, x: Interval, slopes: list[Tensor], side: int) -> Tensor:
    """The slope whose line on this side is best in the middle."""
    values = torch.stack([scalar.offset(x, k, side) + k * x.center for k in slopes])
    best = values.argmax(0) if side > 0 else values.argmin(0)
    return torch.stack(slopes).gather(0, best.unsqueeze(0)).squeeze(0)


def bracketed(derivative: Callable[[Tensor], Tensor], slope: Tensor, piece: Interval, rising: bool, steps: int) -> Tensor:
    """About where a monotone derivative takes the value `slope` on the piece, by false position; an end where it does not.

    An end that stays twice weighs half (the rule of Illinois), so that both ends come nearer.
    """
    sign = 1.0 if rising else -1.0
    low, high = piece.lower, piece.upper
    below, above = (sign * (derivative(end) - slope) for end in (low, high))
    held = torch.zeros_like(low)
    for _ in range(steps):
        at = _between(low, high, below, above)
        value = sign * (derivative(at) - slope)
        left = value < 0
        moved = torch.where(left, 1.0, -1.0).to(held)
        below, above = (
            torch.where(left, value, torch.where(held < 0, below / 2, below)),
            torch.where(left, torch.where(held > 0, above / 2, above), value),
        )
        low, high, held = torch.where(left, at, low), torch.where(left, high, at), moved
    return _between(low, high, below, above)


def _between(low: Tensor, high: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Where the chord between two heights is zero; the nearer end where both have one sign."""
    share = (below / (below - above)).nan_to_num(0.5, 0.5, 0.5)
    share = torch.where(below >= 0, 0.0, torch.where(above <= 0, 1.0, share))
    return low + share.clamp(0, 1) * (high - low)


def from_table(scalar: Scalar, slope: Tensor, piece: Interval, number: int) -> Tensor:
    """`Scalar.touching` for a function whose derivative has no inverse in closed form: a table, then steps in its cell."""
    places, slopes, rising = _table(scalar, number)
    places, slopes = places.to(slope), slopes.to(slope)
    cell = torch.searchsorted(slopes, slope.contiguous() if rising else -slope.contiguous()).clamp(1, len(places) - 1)
    ends = Interval(places[cell - 1].clamp(piece.lower, piece.upper), places[cell].clamp(piece.lower, piece.upper))
    steps = STEPS_SINGLE if slope.dtype == torch.float32 else STEPS
    found = bracketed(scalar.derivative, slope, ends, rising, steps)
    beyond = (slope - slopes[-1]) if rising else (-slope - slopes[-1])
    first = slopes[0] - (slope if rising else -slope)
    return torch.where(beyond > 0, piece.upper, torch.where(first > 0, piece.lower, found))


@lru_cache(maxsize=64)
def _table(scalar: Scalar, number: int) -> tuple[Tensor, Tensor, bool]:
    """Places on a piece, and the derivative there, rising (its negative where it falls)."""
    ends = [-TABLE_REACH, *(place for place, _ in scalar.breaks), TABLE_REACH]
    places = torch.linspace(ends[number], ends[number + 1], TABLE_SIZE, dtype=torch.float64)
    rising = scalar.curvature[number] > 0
    slopes = scalar.derivative(places) * (1 if rising else -1)
    return places, slopes.cummax(0).values, rising
