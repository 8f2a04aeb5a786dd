"""relu(x) = max(x, 0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Slope
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar, split
from ballproof.values import Interval, Line, Relaxation


@register
@dataclass(frozen=True)
class Relu(Scalar):
    """The rectifier. Its relaxation on [l, u] with l < 0 < u is the triangle of Ehlers 2017.

    The rules that follow from its facts are written out where speed asks for it; a test holds them against each other.
    """

    monotone: ClassVar[int] = 1
    breaks = ((0.0, 1),)
    curvature = (0, 0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].relu()

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return (x >= 0).to(x.dtype)

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, _ = split(inputs)
        positive, negative = x.upper.clamp(min=0), x.lower.clamp(max=0)
        width = positive - negative
        chord = positive / width.masked_fill(width == 0, 1)
        offset = torch.maximum(-chord * negative, positive - chord * x.upper).clamp(min=0)
        if slope == "parallel":
            return Relaxation(Line((chord,), torch.zeros_like(chord)), Line((chord,), offset), parallel=True)
        if isinstance(slope, tuple):
            below = slope[0].clamp(0, 1).where((x.lower < 0) & (x.upper > 0), chord)
        else:
            below = (x.lower + x.upper >= 0).to(chord.dtype)
        return Relaxation(Line((below,), chord.new_zeros(()).expand(below.shape)), Line((chord,), offset))

    def confine(self, parameters: tuple[Tensor, ...]) -> None:
        for share in parameters:
            share.clamp_(0, 1)

    def hull(self, x: Interval, *constants: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The flat line below is an end of the output already."""
        return [torch.ones_like(x.lower)], [self.chord(x)]
