"""arctan(x)."""

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
class Arctan(Scalar):
    """The inverse tangent: convex below 0, concave above."""

    monotone: ClassVar[int] = 1
    breaks = ((0.0, 0),)
    curvature = (1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.atan(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return 1 / (1 + x * x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return (1 / slope.clamp(0, 1) - 1).sqrt() * (-1 if number == 0 else 1)
