"""abs(x) = |x|."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar


@register
@dataclass(frozen=True)
class Abs(Scalar):
    """The absolute value: two pieces that meet in 0."""

    codomain = (0.0, inf)
    breaks = ((0.0, 1),)
    curvature = (0, 0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].abs()

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))
