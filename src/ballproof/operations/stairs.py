"""Functions that jump: sign, step (Heaviside), floor and round. They are constant between their jumps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Argument
from ballproof.operations.envelope import best_slope
from ballproof.operations.registry import register
from ballproof.operations.scalar import Height, Scalar, split
from ballproof.values import Interval


class Stairs(Scalar):
    """Rising by jumps. Between jumps the value is constant, so a line's exact offset is attained beside a jump or at an end."""

    monotone: ClassVar[int] = 1
    slants: ClassVar[tuple[float, ...]] = (0.0,)
    """Slopes that some best line has on any interval, besides the chord."""

    @abstractmethod
    def jumps(self, x: Interval) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The first and the last jump inside: place, value on the left, value on the right, and whether there is one."""

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def bends(self, x: Interval, *constants: Tensor) -> tuple[Tensor, Tensor]:
        jumps = self.forward(x.lower) < self.forward(x.upper)
        return jumps, jumps

    def heights(self, x: Interval, slope: Tensor, side: int, *constants: Tensor) -> list[Height]:
        found = [(e, self.forward(e) - slope * e) for e in (x.lower, x.upper)]
        first = found[0]
        for place, left, right, inside in self.jumps(x):
            for value in (left, right):
                height = torch.where(inside, value - slope * place, first[1])
                found.append((torch.where(inside, place, first[0]), height))
        return found

    def supporting(self, x: Interval, side: int) -> Tensor:
        """The best of the chords between the ends and the corners beside jumps."""
        corners = [(e, self.forward(e)) for e in (x.lower, x.upper)]
        for place, left, right, inside in self.jumps(x):
            at = torch.where(inside, place, x.lower)
            corners.append((at, torch.where(inside, left if side > 0 else right, corners[0][1])))
        slopes = [torch.full_like(x.lower, k) for k in self.slants]
        for (a, low), (b, high) in combinations(corners, 2):
            run = b - a
            slopes.append(torch.where(run.abs() > 0, (high - low) / run.masked_fill(run == 0, 1), torch.zeros_like(run)))
        return best_slope(self, x, slopes, side)

    def _common(self, x: Interval, chord: Tensor, mixed: Tensor, *constants: Tensor) -> Tensor:
        slopes = [torch.zeros_like(chord), chord]
        gaps = [self.offset(x, k, -1) - self.offset(x, k, 1) for k in slopes]
        return torch.where(gaps[0] <= gaps[1], slopes[0], slopes[1])

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, _ = split(inputs)
        return self.slopes(x, "adaptive")


class Jump(Stairs):
    """One jump, at 0: from `left` over `middle` to `right`."""

    left: ClassVar[float]
    right: ClassVar[float] = 1.0

    def jumps(self, x: Interval) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        at = torch.zeros_like(x.lower)
        left, right = self.forward(x.lower.clamp(max=0)), self.forward(x.upper.clamp(min=0))
        before = torch.where(x.lower < 0, torch.full_like(at, self.left), left)
        after = torch.where(x.upper > 0, torch.full_like(at, self.right), right)
        return [(at, before, after, (x.lower <= 0) & (x.upper >= 0))]


@register
@dataclass(frozen=True)
class Sign(Jump):
    """-1 below 0, 0 at 0, 1 above."""

    codomain = (-1.0, 1.0)
    left: ClassVar[float] = -1.0

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].sign()


@register
@dataclass(frozen=True)
class Step(Jump):
    """0 below 0, `middle` at 0 (from 0 to 1), 1 above."""

    middle: float = 0.0
    codomain = (0.0, 1.0)
    left: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.middle <= 1:
            raise UnsupportedError(f"Step with the value {self.middle} at 0; supported: from 0 to 1")

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return torch.where(x > 0, 1.0, torch.where(x < 0, 0.0, self.middle)).to(x.dtype)


@register
@dataclass(frozen=True)
class Floor(Stairs):
    """The largest whole number not above x."""

    slants: ClassVar[tuple[float, ...]] = (0.0, 1.0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].floor()

    def jumps(self, x: Interval) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        first, last = x.lower.floor() + 1, x.upper.floor()
        return [(n, n - 1, n, first <= last) for n in (first, last)]


@register
@dataclass(frozen=True)
class Round(Stairs):
    """The nearest whole number, the even one of two."""

    slants: ClassVar[tuple[float, ...]] = (0.0, 1.0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].round()

    def jumps(self, x: Interval) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        first, last = (x.lower - 0.5).ceil() + 0.5, (x.upper - 0.5).floor() + 0.5
        return [(n, n - 0.5, n + 0.5, first <= last) for n in (first, last)]
