"""tanh(x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.operations.sigmoid import logistic_slope
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Tanh(Scalar):
    """The hyperbolic tangent, 2 sigmoid(2x) - 1: convex below 0, concave above."""

    monotone: ClassVar[int] = 1
    breaks = ((0.0, 0),)
    curvature = (1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.tanh(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return 4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return logistic_slope(slope / 4) * (-0.5 if number == 0 else 0.5)
