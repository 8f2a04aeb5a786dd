"""exp(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Exp(Scalar):
    """The exponential function: convex."""

    monotone: ClassVar[int] = 1
    codomain = (0.0, inf)
    curvature = (1,)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.exp(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.exp(x)

    def outside(self, x: Interval) -> Tensor:
        """Where the value at the upper end overflows."""
        return x.upper > math.log(torch.finfo(x.upper.dtype).max) - 1

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return slope.clamp(min=0).log()
