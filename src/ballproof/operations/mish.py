"""mish(x) = x * tanh(softplus(x))."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.envelope import from_table
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval

INFLECTIONS = (-2.2563763963607935, 1.4905711794854282)
"""Where the second derivative is 0; a test repeats it."""


@register
@dataclass(frozen=True)
class Mish(Scalar):
    """Concave, convex between the two inflections, concave."""

    breaks = ((INFLECTIONS[0], 0), (INFLECTIONS[1], 0))
    curvature = (-1, 1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.mish(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        share = torch.tanh(F.softplus(x))
        return share + x * torch.sigmoid(x) * (1 - share * share)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return from_table(self, slope, piece, number)
