"""silu(x) = x * sigmoid(x), also called swish."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.envelope import from_table
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval

INFLECTION = 2.399357280515468
"""Where x tanh(x / 2) = 2, which is where the second derivative is 0; a test repeats it."""


@register
@dataclass(frozen=True)
class Silu(Scalar):
    """The sigmoid linear unit: concave, convex between the two inflections, concave."""

    breaks = ((-INFLECTION, 0), (INFLECTION, 0))
    curvature = (-1, 1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.silu(inputs[0])

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        share = torch.sigmoid(x)
        return share + x * share * torch.sigmoid(-x)

    def touching(self, slope: Tensor, piece: Interval, number: int) -> Tensor:
        return from_table(self, slope, piece, number)
