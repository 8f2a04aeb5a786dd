"""a @ b of two branches that both vary: attention, bilinear layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Argument, Nonlinear, Role, Shape, Slope
from ballproof.operations.elementwise import reduce_to
from ballproof.operations.registry import register
from ballproof.values import Interval, Line, Relaxation


@register
@dataclass(frozen=True)
class MatrixProduct(Nonlinear):
    """Sums of products, each between its planes of McCormick 1976; the mixture is shared along the rows and the columns.

    a: `(batch, ..., n, k)`, b: `(batch, ..., k, m)` with as many axes. The slope on a is a matrix of b's shape, and the other
    way round: nothing of the size n * k * m is kept.
    """

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        if not all(varies):
            raise UnsupportedError("a MatrixProduct with a constant; supported: Linear")
        return Role.NONLINEAR

    def forward(self, *inputs: Tensor) -> Tensor:
        a, b = inputs
        if a.ndim != b.ndim or a.ndim < 3:
            raise UnsupportedError(
                f"a matrix product of {a.ndim} and {b.ndim} axes; supported: as many on both sides, 3 or more"
            )
        return a @ b

    def interval(self, *inputs: Argument) -> Interval:
        """The exact range, one term of the sums at a time."""
        a, b = _two(inputs)
        lower: Tensor | float = 0.0
        upper: Tensor | float = 0.0
        for k in range(a.lower.shape[-1]):
            columns, rows = [e[..., k : k + 1] for e in (a.lower, a.upper)], [e[..., k : k + 1, :] for e in (b.lower, b.upper)]
            products = [x * y for x in columns for y in rows]
            lower, upper = lower + reduce(torch.minimum, products), upper + reduce(torch.maximum, products)
        assert isinstance(lower, Tensor) and isinstance(upper, Tensor)
        return Interval(lower, upper)

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        a, _ = _two(inputs)
        half = torch.full_like(a.lower[..., :1, :], 0.5)
        return half, half.clone()

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        """Free parameters: the share of the lower ends in the lower and in the upper planes, for each k."""
        a, b = _two(inputs)
        if isinstance(slope, tuple):
            low, high = (s.clamp(0, 1) for s in slope)
            return Relaxation(_plane(a, b, low), _plane(a, Interval(b.upper, b.lower), high))
        slopes = (b.center, a.center)
        offsets = (-(a.lower @ b.lower + a.upper @ b.upper) / 2, -(a.lower @ b.upper + a.upper @ b.lower) / 2)
        return Relaxation(Line(slopes, offsets[0]), Line(slopes, offsets[1]), parallel=True)

    def confine(self, parameters: tuple[Tensor, ...]) -> None:
        for share in parameters:
            share.clamp_(0, 1)

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        a, b = _two(inputs)
        return a.lower < a.upper, b.lower < b.upper

    cuttable = True

    def sway(self, cotangent: Tensor, *inputs: Argument) -> tuple[Tensor, ...]:
        """As of each product in the sums."""
        a, b = _two(inputs)
        weight, wide_a, wide_b = cotangent.abs() / 4, a.upper - a.lower, b.upper - b.lower
        turned = weight @ wide_b.transpose(-1, -2), wide_a.transpose(-1, -2) @ weight
        return tuple(reduce_to(t, tuple(i.lower.shape[1:])) for t, i in zip(turned, (a, b), strict=True))

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        on_a, on_b = slopes
        pulled = (cotangent @ on_a.transpose(-1, -2), on_b.transpose(-1, -2) @ cotangent)
        return tuple(reduce_to(p.flatten(0, 1), s).unflatten(0, p.shape[:2]) for p, s in zip(pulled, shapes, strict=True))


def _plane(a: Interval, b: Interval, share: Tensor) -> Line:
    """`share (batch, ..., 1, k)` of the plane at the lower ends, the rest of the plane at the upper ends."""
    other = 1 - share
    column = share.transpose(-1, -2)
    on_a = column * b.lower + (1 - column) * b.upper
    on_b = share * a.lower + other * a.upper
    return Line((on_a, on_b), -((share * a.lower) @ b.lower + (other * a.upper) @ b.upper))


def _two(inputs: tuple[Argument, ...]) -> tuple[Interval, Interval]:
    a, b = inputs
    assert isinstance(a, Interval) and isinstance(b, Interval)
    return a, b
