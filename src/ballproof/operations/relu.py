"""relu(x) = max(x, 0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar


@register
@dataclass(frozen=True)
class Relu(Scalar):
    """The rectifier. Its relaxation on [l, u] with l < 0 < u is the triangle of Ehlers 2017."""

    shape: Literal["convex"] = "convex"
    kinks = (0.0,)
    pieces = ((0.0, 0.0), (1.0, 0.0))

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].clamp(min=0)

    def derivative(self, x: Tensor) -> Tensor:
        return (x >= 0).to(x.dtype)
