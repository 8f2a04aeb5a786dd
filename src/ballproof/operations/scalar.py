"""Functions applied to each coordinate alone: one rule makes every relaxation, whatever slope is asked for.

*Any slope, exact offset*: for a slope k the lower offset is the minimum of f(x) - kx over the interval, which is attained
at an end, at a break or where f'(x) = k; the upper offset is the maximum. A stationary point that was found by rounded or
unfinished arithmetic is used through the tangent in it, which bounds the whole convex (concave) piece. So no optimiser, no
rounded slope and no unfinished search can make a line unsound.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from itertools import combinations, pairwise
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Nonlinear, Shape, Slope
from ballproof.operations.domain import refuse_outside
from ballproof.operations.envelope import best_chord, envelope_slope
from ballproof.values import Interval, Line, Relaxation

Break = tuple[float, int]
"""A place, and how the slope jumps there: +1 up, -1 down, 0 not at all (an inflection)."""

Height = tuple[Tensor, Tensor]
"""A point, and f(x) - kx there (or a bound of it on the whole piece round the point)."""


class Scalar(Nonlinear):
    """A function of one variable, by its facts; further arguments are constants. Laws: those of `Nonlinear`, and the facts."""

    coordinatewise: ClassVar[bool] = True
    monotone: ClassVar[int] = 0
    """1 where it never falls, -1 where it never rises, 0 where neither is promised."""

    breaks: tuple[Break, ...] = ()
    """Where the slope jumps or the curvature changes its sign, in order."""

    curvature: tuple[int, ...] = (0,)
    """Of the pieces between the breaks, from left to right: 1 convex, -1 concave, 0 straight."""

    @abstractmethod
    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        """The slope at x, either one-sided slope at a break."""

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        """Where on piece `number`, cut to the interval `piece`, the slope is `slope`; the nearer end where it is not.

        Any point of the piece is sound; the nearer, the tighter. Needed for curved pieces alone.
        """
        raise NotImplementedError(f"{type(self).__name__} has a curved piece and no `touching`")

    def outside(self, x: Interval) -> Tensor | None:
        """Where the interval leaves the domain of the function; None for functions that are defined everywhere."""
        return None

    def bends(self, x: Interval, *constants: Tensor) -> tuple[Tensor, Tensor]:
        """Where the function bends up, and where it bends down, somewhere inside the interval."""
        wide = x.lower < x.upper
        up = down = torch.zeros_like(wide)
        for place, turn in self.breaks:
            inside = (x.lower < place) & (x.upper > place)
            up, down = (up | inside, down) if turn > 0 else (up, down | inside) if turn < 0 else (up, down)
        ends = [-torch.inf, *(place for place, _ in self.breaks), torch.inf]
        for (start, end), curvature in zip(pairwise(ends), self.curvature, strict=True):
            if curvature:
                meets = wide & (x.lower < end) & (x.upper > start)
                up, down = (up | meets, down) if curvature > 0 else (up, down | meets)
        return up, down

    def places(self, x: Interval) -> list[Tensor]:
        """The ends and the breaks between them, in order; a break outside is the nearer end."""
        return [x.lower, *(x.lower.clamp(min=place).minimum(x.upper) for place, _ in self.breaks), x.upper]

    def heights(self, x: Interval, slope: Tensor, side: int, *constants: Tensor) -> list[Height]:
        """Points with heights f - slope * x, among which the least (side 1) or the largest (side -1) bounds all of them."""
        places = self.places(x)
        found = [(p, self.forward(p, *constants) - slope * p) for p in places]
        for number, curvature in enumerate(self.curvature):
            if curvature == side:
                found.append(self._tangent(Interval(places[number], places[number + 1]), slope, number, side))
        return found

    def _tangent(self, piece: Interval, slope: Tensor, number: int, side: int) -> Height:
        """The touching point of a curved piece, and the end of the tangent in it that is furthest out."""
        lower, upper, wanted = torch.broadcast_tensors(piece.lower, piece.upper, slope)
        with torch.no_grad():
            found = self.touching(wanted, Interval(lower, upper), number)
        at = into(found, lower, upper)
        with torch.no_grad():
            left = self.derivative(at) - slope
            ends = ((left * (e - at)).nan_to_num(nan=0.0) for e in (lower, upper))
            beyond = reduce(torch.minimum if side > 0 else torch.maximum, ends)
        return at, self.forward(at) - slope * at + beyond

    def offset(self, x: Interval, slope: Tensor, side: int, *constants: Tensor) -> Tensor:
        """The exact offset of a line with this slope below (side 1) or above (side -1) the function on the interval."""
        return _reach(side)(h for _, h in self.heights(x, slope, side, *constants))

    def interval(self, *inputs: Argument) -> Interval:
        x, constants = split(inputs)
        self.check(x)
        if self.monotone:
            ends = [self.forward(e, *constants) for e in (x.lower, x.upper)]
            return Interval(*ends[:: self.monotone])
        flat = torch.zeros_like(x.lower)
        return Interval(self.offset(x, flat, 1, *constants), self.offset(x, flat, -1, *constants))

    def chord(self, x: Interval, *constants: Tensor) -> Tensor:
        """The slope from end to end; the derivative in the middle where the ends are too near each other to tell."""
        rise, run = self.forward(x.upper, *constants) - self.forward(x.lower, *constants), x.upper - x.lower
        tiny = torch.finfo(run.dtype).eps * torch.maximum(x.lower.abs(), x.upper.abs())
        flat = run <= tiny
        middle = self.derivative(x.center.clamp(x.lower, x.upper).detach(), *constants).nan_to_num(0.0, 0.0, 0.0)
        return torch.where(flat, middle, rise / torch.where(flat, torch.ones_like(run), run))

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, constants = split(inputs)
        self.check(x)
        below, above = self.slopes(x, slope, *constants)
        lower = Line((below,), self.offset(x, below, 1, *constants))
        return Relaxation(lower, Line((above,), self.offset(x, above, -1, *constants)), parallel=below is above)

    def slopes(self, x: Interval, slope: Slope, *constants: Tensor) -> tuple[Tensor, Tensor]:
        """The slopes of the line below and of the line above; one tensor where they are parallel."""
        chord = self.chord(x, *constants)
        up, down = self.bends(x, *constants)
        if isinstance(slope, tuple):
            return torch.where(up, slope[0], chord), torch.where(down, slope[-1], chord)
        mixed = up & down
        if slope == "parallel":
            common = self._common(x, chord, mixed, *constants)
            return common, common
        middle = self.derivative(x.center.clamp(x.lower, x.upper), *constants).nan_to_num(0.0, 0.0, 0.0)
        below, above = torch.where(down, chord, middle), torch.where(up, chord, middle)
        if bool(mixed.any()):
            below = self._envelope(x, below, mixed, 1)
            above = self._envelope(x, above, mixed, -1)
        return below, above

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, constants = split(inputs)
        below, above = self.slopes(x, "adaptive", *constants)
        turns = [*self.curvature, *(turn for _, turn in self.breaks)]
        return (below,) if min(turns) >= 0 else (above,) if max(turns) <= 0 else (below, above)

    def spread(self, *inputs: Argument) -> Tensor:
        """How far apart the slopes lie that may be worth trying: those at the ends, in the middle, and from end to end."""
        x, constants = split(inputs)
        tried = [self.derivative(p, *constants) for p in (x.lower, x.center, x.upper)]
        slopes = torch.stack([*(torch.broadcast_to(t, x.lower.shape) for t in tried), self.chord(x, *constants)])
        slopes = slopes.nan_to_num(0.0, 0.0, 0.0)
        return slopes.amax(0) - slopes.amin(0)

    def _common(self, x: Interval, chord: Tensor, mixed: Tensor, *constants: Tensor) -> Tensor:
        """The slope of two parallel lines: the chord, or the smaller slope at the ends where that leaves a smaller gap."""
        if not bool(mixed.any()):
            return chord
        other = torch.minimum(self.derivative(x.lower, *constants), self.derivative(x.upper, *constants))
        gaps = [self.offset(x, k, -1, *constants) - self.offset(x, k, 1, *constants) for k in (chord, other)]
        return torch.where(mixed & (gaps[1] < gaps[0]), other, chord)

    def _envelope(self, x: Interval, slope: Tensor, mixed: Tensor, side: int) -> Tensor:
        """`slope`, and on intervals where the function bends both ways the slope of its envelope in the middle."""
        with torch.no_grad():
            part = Interval(x.lower[mixed], x.upper[mixed])
            found = self.supporting(part, side)
        return slope.masked_scatter(mixed, found)

    def supporting(self, x: Interval, side: int) -> Tensor:
        """The slope of the best line below (side 1) or above (side -1) on intervals where the function bends both ways."""
        return envelope_slope(self, x, side) if any(self.curvature) else best_chord(self, x, side)

    def hull(self, x: Interval, *constants: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Slopes of lines below and above that make the convex hull of a piecewise linear function, and nearly of others."""
        places = self.places(x)
        up, down = self.bends(x, *constants)
        middles = [(a + b) / 2 for a, b in pairwise(places)]
        curved = [p for (a, b), c in zip(pairwise(places), self.curvature, strict=True) if c for p in (a, b)]
        tangents = [self.derivative(p, *constants).nan_to_num(0.0, 0.0, 0.0) for p in [*middles, *curved]]
        chords = [self.chord(Interval(a, b), *constants) for a, b in combinations(places, 2)]
        if any(self.curvature):
            tangents += self.slopes(x, "adaptive", *constants)
        if not bool(down.any()):
            return tangents, [self.chord(x, *constants)]
        if not bool(up.any()):
            return [self.chord(x, *constants)], tangents
        return [*tangents, *chords], [*tangents, *chords]

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, constants = split(inputs)
        up, down = self.bends(x, *constants)
        return (up | down,)

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        return (cotangent * slopes[0],)

    def check(self, x: Interval) -> None:
        """Raises `DomainError` where the interval leaves the domain."""
        outside = self.outside(x)
        if outside is not None and bool(outside.any()):
            raise refuse_outside(self, x, outside)


def split(inputs: tuple[Argument, ...]) -> tuple[Interval, tuple[Tensor, ...]]:
    """The varying first argument, and the constants behind it."""
    x, *constants = inputs
    assert isinstance(x, Interval)
    assert all(isinstance(c, Tensor) for c in constants)
    return x, tuple(constants)  # type: ignore[arg-type]


def into(point: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The point, or the end beyond which it lies; the end where it is NaN. Gradients reach the ends, not the point."""
    return torch.where(point >= upper, upper, torch.where(point > lower, point, lower))


def _reach(side: int) -> Callable[..., Tensor]:
    pick = torch.minimum if side > 0 else torch.maximum
    return lambda values: reduce(pick, values)
