"""clamp(x) to [low, high]: hardtanh, relu6, and the clamp of one side."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Break, Scalar


@register
@dataclass(frozen=True)
class Clamp(Scalar):
    """x cut to [low, high]; an infinite end cuts nothing. Ends that are NaN or crossed are refused."""

    low: float
    high: float = float("inf")
    monotone: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.low == self.high:
            raise UnsupportedError(f"a clamp to [{self.low}, {self.high}]; supported: low < high")

    @property
    def codomain(self) -> tuple[float, float]:  # type: ignore[override]
        return self.low, self.high

    @property
    def breaks(self) -> tuple[Break, ...]:  # type: ignore[override]
        return tuple(b for b in ((self.low, 1), (self.high, -1)) if isfinite(b[0]))

    @property
    def curvature(self) -> tuple[int, ...]:  # type: ignore[override]
        return (0,) * (len(self.breaks) + 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].clamp(self.low, self.high)

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return ((x >= self.low) & (x <= self.high)).to(x.dtype)
