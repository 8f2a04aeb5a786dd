"""prelu(x, weight) = x for x >= 0, weight * x below, with a constant weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Role
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar, split
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Prelu(Scalar):
    """The leaky rectifier with weights that broadcast against x; convex where the weight is at most 1, concave above."""

    breaks = ((0.0, 1),)
    curvature = (0, 0)

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a weight")
        return Role.NONLINEAR

    def forward(self, *inputs: Tensor) -> Tensor:
        x, weight = inputs
        return torch.where(x >= 0, x, weight * x)

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.ones_like(x), constants[0])

    def bends(self, x: Interval, *constants: Tensor) -> tuple[Tensor, Tensor]:
        inside, (weight,) = (x.lower < 0) & (x.upper > 0), constants
        return inside & (weight < 1), inside & (weight > 1)

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, constants = split(inputs)
        return self.slopes(x, "adaptive", *constants)
