"""log(x), the natural logarithm."""

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
class Log(Scalar):
    """Concave, defined for x > 0; an interval that reaches 0 is refused."""

    monotone: ClassVar[int] = 1
    curvature = (-1,)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.log(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return 1 / x

    def outside(self, x: Interval) -> Tensor:
        return x.lower <= 0

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return 1 / slope.clamp(min=0)
