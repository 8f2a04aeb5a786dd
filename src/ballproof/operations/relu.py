"""relu(x) = max(x, 0)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ballproof.operations.base import Argument, Rule, Slope
from ballproof.operations.registry import register
from ballproof.operations.scalar import Scalar, split
from ballproof.values import Interval, Line, Relaxation


class Triangle(torch.autograd.Function):
    """Slope and offset of the chord over `[lower, upper]`, cut to what is on either side of 0; its gradients by hand.

    With s = u / (u - l) and w = u - l the offset is -s l, and both have two lines of derivatives: a third of a training step
    by lines went into those that autograd makes of the same formulas.
    """

    @staticmethod
    def forward(ctx, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        positive, negative = upper.relu(), lower.clamp(max=0)
        width = (positive - negative).masked_fill_(positive == negative, 1)
        chord = positive / width
        offset = torch.maximum(-chord * negative, positive - chord * upper).relu_()
        ctx.save_for_backward(chord, width, (lower >= 0) | (upper <= 0))
        return chord, offset

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        chord, width, settled = ctx.saved_tensors
        turned, shift, rest = (slope / width).masked_fill_(settled, 0), shift.masked_fill(settled, 0), 1 - chord
        return (turned - chord * shift).mul_(chord), (rest * shift).add_(turned).mul_(rest)


@register
@dataclass(frozen=True)
class Relu(Scalar):
    """The rectifier. Its relaxation on [l, u] with l < 0 < u is the triangle of Ehlers 2017.

    The rules that follow from its facts are written out where speed asks for it; a test holds them against each other.
    """

    monotone: ClassVar[int] = 1
    codomain = (0.0, inf)
    breaks = ((0.0, 1),)
    curvature = (0, 0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].relu()

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        return torch.relu

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return (x >= 0).to(x.dtype)

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, _ = split(inputs)
        chord, offset = Triangle.apply(x.lower, x.upper)
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
