"""erf(x), the error function."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Erf(Scalar):
    """Convex below 0, concave above; its slope is 2 / sqrt(pi) exp(-x^2)."""

    monotone: ClassVar[int] = 1
    breaks = ((0.0, 0),)
    curvature = (1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.erf(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return 2 / sqrt(pi) * torch.exp(-x * x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        share = (slope * sqrt(pi) / 2).clamp(0, 1)
        return (-share.log()).sqrt() * (-1 if number == 0 else 1)
