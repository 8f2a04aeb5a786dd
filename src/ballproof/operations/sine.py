"""sin(x) and cos(x)."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Argument
from ballproof.operations.envelope import envelope_slope
from ballproof.operations.registry import register
from ballproof.operations.scalar import Height, Scalar, into, split
from ballproof.values import Interval

TURN = 2 * pi


class Wave(Scalar):
    """A sine with a phase: it bends both ways without end, so its touching points are counted, not listed.

    f'(x) = k at two families of points a period apart, along each of which f(x) - kx is linear: the first and the last
    of a family in the interval are enough.
    """

    phase: ClassVar[float]
    """f(x) = cos(x - phase)."""

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return -torch.sin(x - self.phase)

    def bends(self, x: Interval, *constants: Tensor) -> tuple[Tensor, Tensor]:
        """Down where the cosine of a point inside is positive, up where it is negative."""
        wide, shifted = x.lower < x.upper, Interval(x.lower - self.phase, x.upper - self.phase)
        return wide & _meets(shifted, pi), wide & _meets(shifted, 0.0)

    def heights(self, x: Interval, slope: Tensor, side: int, *constants: Tensor) -> list[Height]:
        found = [(e, self.forward(e) - slope * e) for e in (x.lower, x.upper)]
        for at in self._touched(x, slope):
            miss = 4 * torch.finfo(at.dtype).eps * (1 + at.abs())
            rounding = miss * miss.clamp(max=4)  # of a point so far off: 2 of the wave and what the line rises
            found.append((at, self.forward(at) - slope * at - side * rounding))
        return found

    def _touched(self, x: Interval, slope: Tensor) -> list[Tensor]:
        """The first and the last point of either family inside the interval, or an end of it."""
        lower, upper, slope = torch.broadcast_tensors(x.lower, x.upper, slope)
        with torch.no_grad():
            points = self._families(lower, upper, slope)
        return [into(point, lower, upper) for point in points]

    def _families(self, lower: Tensor, upper: Tensor, slope: Tensor) -> list[Tensor]:
        angle = torch.asin(-slope.clamp(-1, 1))
        found = []
        for family in (angle + self.phase, pi - angle + self.phase):
            first = family + TURN * torch.ceil((lower - family) / TURN)
            last = family + TURN * torch.floor((upper - family) / TURN)
            found += [first, last]
        return found

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, _ = split(inputs)
        return self.slopes(x, "adaptive")

    def supporting(self, x: Interval, side: int) -> Tensor:
        return envelope_slope(self, x, side)


@register
@dataclass(frozen=True)
class Cos(Wave):
    """The cosine."""

    phase: ClassVar[float] = 0.0

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cos(inputs[0])


@register
@dataclass(frozen=True)
class Sin(Wave):
    """The sine."""

    phase: ClassVar[float] = pi / 2

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.sin(inputs[0])


def _meets(x: Interval, middle: float) -> Tensor:
    """Whether the interval meets an open half turn round `middle` (modulo a turn)."""
    start = torch.remainder(x.lower - (middle - pi / 2), TURN)
    return (start < pi) | (start + (x.upper - x.lower) > TURN)
