"""leaky_relu(x) = x for x >= 0, negative_slope * x below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar


@register
@dataclass(frozen=True)
class LeakyRelu(Scalar):
    """The leaky rectifier; convex for a slope up to 1, concave above. A negative or infinite slope is refused."""

    negative_slope: float = 0.01
    kinks = (0.0,)

    def __post_init__(self) -> None:
        if not 0 <= self.negative_slope < float("inf"):
            raise UnsupportedError(f"LeakyRelu with negative_slope={self.negative_slope}; supported: a finite one >= 0")

    @property
    def shape(self) -> Literal["convex", "concave"]:
        return "convex" if self.negative_slope <= 1 else "concave"

    @property
    def pieces(self) -> tuple[tuple[float, float], ...]:
        return (self.negative_slope, 0.0), (1.0, 0.0)

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return torch.where(x >= 0, x, self.negative_slope * x)

    def derivative(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.ones_like(x), torch.full_like(x, self.negative_slope))
