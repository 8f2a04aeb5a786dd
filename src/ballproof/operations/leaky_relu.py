"""leaky_relu(x) = x for x >= 0, negative_slope * x below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Break, Scalar


@register
@dataclass(frozen=True)
class LeakyRelu(Scalar):
    """The leaky rectifier; convex for a slope up to 1, concave above. A negative or infinite slope is refused."""

    negative_slope: float = 0.01
    monotone: ClassVar[int] = 1
    curvature = (0, 0)

    def __post_init__(self) -> None:
        if not 0 <= self.negative_slope < float("inf"):
            raise UnsupportedError(f"LeakyRelu with negative_slope={self.negative_slope}; supported: a finite one >= 0")

    @property
    def breaks(self) -> tuple[Break, ...]:  # type: ignore[override]
        return ((0.0, 1 if self.negative_slope <= 1 else -1),)

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return torch.where(x >= 0, x, self.negative_slope * x)

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.where(x >= 0, torch.ones_like(x), torch.full_like(x, self.negative_slope))
