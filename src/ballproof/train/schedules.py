"""Schedules: numbers that depend on how far the training is. Time is counted in epochs, as a fraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ramp:
    """From `start` to `end` between the epochs `first` and `last`: straight, or smoothed at its beginning.

    The smooth ramp grows as a fourth power over the first quarter and straight from there, with equal slopes where
    they meet: with m = 1/4 of the way and p = 4, alpha t^p up to m and alpha p m^(p-1) (t - m) + alpha m^p after, so
    that alpha = 1 / ((1 - m) p m^(p-1) + m^p). Source: Xu et al. 2020 (the smoothed schedule of auto_LiRPA).
    """

    start: float
    end: float
    first: float = 0.0
    last: float = 0.0
    smooth: bool = False

    def __call__(self, epoch: float) -> float:
        if epoch >= self.last:
            return self.end
        if epoch <= self.first:
            return self.start
        way = (epoch - self.first) / (self.last - self.first)
        return self.start + (self.end - self.start) * (_smooth(way) if self.smooth else way)


def _smooth(way: float, middle: float = 0.25, power: int = 4) -> float:
    alpha = 1.0 / ((1.0 - middle) * power * middle ** (power - 1) + middle**power)
    if way <= middle:
        return alpha * way**power
    return alpha * middle**power + alpha * power * middle ** (power - 1) * (way - middle)


@dataclass(frozen=True)
class Points:
    """Straight from one point `(epoch, value)` to the next, and constant before the first and behind the last."""

    points: Sequence[Sequence[float]]

    def __call__(self, epoch: float) -> float:
        (first, value), *rest = self.points
        for last, target in rest:
            if epoch < last:
                return value + (target - value) * max(0.0, epoch - first) / (last - first)
            first, value = last, target
        return value


@dataclass(frozen=True)
class Steps:
    """A learning rate that is multiplied by `factor` at each milestone (epochs)."""

    start: float
    milestones: Sequence[float] = ()
    factor: float = 0.2

    def __call__(self, epoch: float) -> float:
        return self.start * self.factor ** sum(epoch >= m for m in self.milestones)
