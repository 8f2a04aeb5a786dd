"""gelu(x) = x * (the normal distribution function at x), and its approximation by tanh."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.errors import UnsupportedError
from ballproof.operations.envelope import from_table
from ballproof.operations.registry import register
from ballproof.operations.scalar import Break, Scalar
from ballproof.values import Interval

INFLECTIONS = {"none": 2**0.5, "tanh": 1.418504008790828}
"""Where the second derivative changes sign: for the exact form it is (2 - x^2) times the normal density; the other's by
halving it, which a test repeats."""

CUBIC = 0.044715


@register
@dataclass(frozen=True)
class Gelu(Scalar):
    """The Gaussian error linear unit: concave, convex between the two inflections, concave."""

    approximate: str = "none"
    curvature = (-1, 1, -1)

    def __post_init__(self) -> None:
        if self.approximate not in INFLECTIONS:
            raise UnsupportedError(f"Gelu with approximate={self.approximate!r}; supported: {', '.join(INFLECTIONS)}")

    @property
    def breaks(self) -> tuple[Break, ...]:  # type: ignore[override]
        place = INFLECTIONS[self.approximate]
        return ((-place, 0), (place, 0))

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.gelu(inputs[0], approximate=self.approximate)

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        if self.approximate == "none":
            return (1 + torch.erf(x / sqrt(2))) / 2 + x * torch.exp(-x * x / 2) / sqrt(2 * pi)
        share = torch.tanh(sqrt(2 / pi) * (x + CUBIC * x**3))
        return (1 + share) / 2 + x / 2 * (1 - share * share) * sqrt(2 / pi) * (1 + 3 * CUBIC * x * x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return from_table(self, slope, piece, number)
