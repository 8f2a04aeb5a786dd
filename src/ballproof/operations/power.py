"""power(x) = x ** exponent: squares, roots, reciprocals and the rest, by a constant exponent."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.registry import register
from ballproof.operations.scalar import Break, Scalar
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Power(Scalar):
    """A whole exponent is defined for all x (a negative one for x != 0), any other for x >= 0 (a negative one for x > 0).

    The exponents 0 and 1 are no curves and are refused.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not isfinite(self.exponent) or self.exponent in (0, 1):
            raise UnsupportedError(f"a power with exponent {self.exponent}; supported: a finite one other than 0 and 1")

    @property
    def whole(self) -> bool:
        return float(self.exponent).is_integer()

    @property
    def even(self) -> bool:
        return self.whole and int(self.exponent) % 2 == 0

    @property
    def monotone(self) -> int:  # type: ignore[override]
        return 0 if self.even else 1 if self.exponent > 0 else -1

    @property
    def two_sided(self) -> bool:
        """Whether 0 divides the domain into two pieces."""
        return self.whole and not (self.even and self.exponent > 0)

    @property
    def codomain(self) -> tuple[float, float]:  # type: ignore[override]
        return (0.0, inf) if self.even or not self.whole else (-inf, inf)

    @property
    def breaks(self) -> tuple[Break, ...]:  # type: ignore[override]
        return ((0.0, 0),) if self.two_sided else ()

    @property
    def curvature(self) -> tuple[int, ...]:  # type: ignore[override]
        right = -1 if 0 < self.exponent < 1 else 1
        return ((1 if self.even else -1), right) if self.two_sided else (right,)

    def forward(self, *inputs: Tensor) -> Tensor:
        return _power(inputs[0], self.exponent)

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return self.exponent * _power(x, self.exponent - 1)

    def outside(self, x: Interval) -> Tensor | None:
        if self.exponent < 0:
            return (x.lower <= 0) & (x.upper >= 0) if self.whole else x.lower <= 0
        return None if self.whole else x.lower < 0

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        root = 1 / (self.exponent - 1)
        if self.even and self.exponent > 0:
            return slope.sign() * (slope / self.exponent).abs() ** root
        left = self.two_sided and number == 0
        share = slope / self.exponent * (-1 if left and self.even else 1)
        return share.clamp(min=0) ** root * (-1 if left else 1)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent, by the operations that frameworks use for the common ones."""
    match exponent:
        case 2:
            return x * x
        case 1:
            return x
        case 0.5:
            return torch.sqrt(x)
        case -0.5:
            return torch.rsqrt(x)
        case -1:
            return torch.reciprocal(x)
    return torch.pow(x, int(exponent) if float(exponent).is_integer() else exponent)
