"""sigmoid(x) = 1 / (1 + exp(-x))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Sigmoid(Scalar):
    """The logistic function: convex below 0, concave above."""

    monotone: ClassVar[int] = 1
    breaks = ((0.0, 0),)
    curvature = (1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.sigmoid(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.sigmoid(x) * torch.sigmoid(-x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return logistic_slope(slope) * (-1 if number == 0 else 1)


def logistic_slope(slope: Tensor) -> Tensor:
    """The x >= 0 at which sigmoid'(x) = slope: with s (1 - s) = slope, x = log((1 - s) / s) for the small root s.

    0 for slopes above 1/4, infinity for slopes up to 0.
    """
    slope = slope.clamp(0, 0.25)
    small = 2 * slope / (1 + (1 - 4 * slope).clamp(min=0).sqrt())
    return torch.log1p(-small) - small.log()
