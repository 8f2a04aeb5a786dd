"""hard_swish(x) = x * clamp(x + 3, 0, 6) / 6."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class HardSwish(Scalar):
    """0 up to -3, a parabola up to 3, x beyond; its slope falls from 0 to -1/2 at -3 and from 3/2 to 1 at 3."""

    breaks = ((-3.0, -1), (3.0, -1))
    curvature = (0, 1, 0)

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return x * (x + 3).clamp(0, 6) / 6

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        middle = (2 * x + 3) / 6
        return torch.where(x < -3, torch.zeros_like(x), torch.where(x > 3, torch.ones_like(x), middle))

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return 3 * slope - 1.5
