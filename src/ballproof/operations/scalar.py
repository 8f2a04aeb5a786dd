"""Functions applied to each coordinate alone: one rule makes every relaxation, whatever slope is asked for.

*Any slope, exact offset*: for a slope k the lower offset is the minimum of f(x) - kx over the interval, which is attained
at an end, at a kink or where f'(x) = k; the upper offset is the maximum. So no optimiser and no rounded slope can make a
line unsound.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Nonlinear, Shape, Slope
from ballproof.values import Interval, Line, Relaxation


class Scalar(Nonlinear):
    """A function of one variable, by its facts. Laws: those of `Nonlinear`, and the facts themselves."""

    coordinatewise: ClassVar[bool] = True

    @property
    @abstractmethod
    def shape(self) -> Literal["convex", "concave"]:
        """On which side the chord lies: above a convex function, below a concave one."""

    @property
    @abstractmethod
    def kinks(self) -> tuple[float, ...]:
        """Where the slope jumps."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[tuple[float, float], ...]:
        """The (slope, offset) of the linear pieces, whose maximum (convex) or minimum (concave) is the function."""

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """The slope at x, either one-sided slope at a kink."""

    def points(self, x: Interval) -> list[Tensor]:
        """The points among which f(x) - kx attains its extremes on the interval, for every k."""
        return [x.lower, x.upper, *(torch.full_like(x.lower, k).clamp(x.lower, x.upper) for k in self.kinks)]

    def interval(self, *inputs: Argument) -> Interval:
        values = [self.forward(p) for p in self.points(_only(inputs))]
        return Interval(_extreme(values, torch.minimum), _extreme(values, torch.maximum))

    def chord(self, x: Interval) -> Tensor:
        """The slope from end to end; the derivative where the interval is a point."""
        rise, run = self.forward(x.upper) - self.forward(x.lower), x.upper - x.lower
        flat = run <= 0
        return torch.where(flat, self.derivative(x.lower), rise / torch.where(flat, torch.ones_like(run), run))

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x = _only(inputs)
        chord = self.chord(x)
        free = chord if slope == "parallel" else self.derivative(x.center) if slope == "adaptive" else slope
        below, above = (free, chord) if self.shape == "convex" else (chord, free)
        lower = Line((below,), _extreme(self.offsets(x, below), torch.minimum))
        upper = Line((above,), _extreme(self.offsets(x, above), torch.maximum))
        return Relaxation(lower, upper, parallel=isinstance(slope, str) and slope == "parallel")

    def offsets(self, x: Interval, slope: Tensor) -> list[Tensor]:
        return [self.forward(p) - slope * p for p in self.points(x)]

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x = _only(inputs)
        inside = [(x.lower < k) & (x.upper > k) for k in self.kinks]
        return (_extreme(inside, torch.logical_or),)

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        return (cotangent * slopes[0].unsqueeze(1),)


def _only(inputs: tuple[Argument, ...]) -> Interval:
    (x,) = inputs
    assert isinstance(x, Interval)
    return x


def _extreme(values: list[Tensor], pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return reduce(pick, values)
