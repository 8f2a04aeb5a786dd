"""elu(x) = scale * x for x >= 0, scale * alpha * (exp(rate x) - 1) below: ELU, SELU and CELU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Break, Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Elu(Scalar):
    """The exponential linear unit. Settings that are negative or not finite are refused."""

    alpha: float = 1.0
    scale: float = 1.0
    rate: float = 1.0
    monotone: ClassVar[int] = 1
    curvature = (1, 0)

    def __post_init__(self) -> None:
        if not all(0 < setting < float("inf") for setting in (self.alpha, self.scale, self.rate)):
            raise UnsupportedError(f"{self}; supported: positive finite settings")

    @property
    def breaks(self) -> tuple[Break, ...]:  # type: ignore[override]
        jump = 1 - self.alpha * self.rate
        return ((0.0, (jump > 0) - (jump < 0)),)

    def forward(self, *inputs: Tensor) -> Tensor:
        (x,) = inputs
        return self.scale * torch.where(x >= 0, x, self.alpha * torch.expm1(self.rate * x.clamp(max=0)))

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        curved = self.alpha * self.rate * torch.exp(self.rate * x.clamp(max=0))
        return self.scale * torch.where(x > 0, torch.ones_like(x), curved)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return (slope.clamp(min=0) / (self.scale * self.alpha * self.rate)).log() / self.rate
