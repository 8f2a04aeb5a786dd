"""softplus(x) = log(1 + exp(beta x)) / beta."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Softplus(Scalar):
    """The smooth rectifier: convex. A beta that is not positive and finite is refused.

    Frameworks return x itself above a threshold (20 / beta), which differs by less than 3e-9 / beta.
    """

    beta: float = 1.0
    monotone: ClassVar[int] = 1
    codomain = (0.0, inf)
    curvature = (1,)

    def __post_init__(self) -> None:
        if not 0 < self.beta < float("inf"):
            raise UnsupportedError(f"Softplus with beta={self.beta}; supported: a positive finite one")

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return torch.logaddexp(self.beta * x, torch.zeros_like(x)) / self.beta

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.sigmoid(self.beta * x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        slope = slope.clamp(0, 1)
        return (slope.log() - torch.log1p(-slope)) / self.beta
