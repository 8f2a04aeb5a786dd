"""a * b of two branches that both vary, broadcast like torch."""

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
class Product(Nonlinear):
    """The planes of McCormick 1976, and every mixture of the two on a side.

    For a share r the lower plane has the slopes r * b.lower + (1 - r) * b.upper on a, and likewise on b; the upper one mixes
    the ends of b the other way round. All mixtures are equally good in the middle; r = 1/2 makes both planes parallel.
    Whatever the slopes, the offset is exact: a bilinear function on a box is extreme at a corner. Slopes have the shape
    of the output.
    """

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        if not all(varies):
            raise UnsupportedError("a Product with a constant; supported: Multiply")
        return Role.NONLINEAR

    def forward(self, *inputs: Tensor) -> Tensor:
        a, b = inputs
        if a.ndim != b.ndim:
            raise UnsupportedError(f"a product of {a.ndim} and {b.ndim} axes; supported: as many on both sides")
        return a * b

    def interval(self, *inputs: Argument) -> Interval:
        products = [x * y for x, y in _corners(inputs)]
        return Interval(reduce(torch.minimum, products), reduce(torch.maximum, products))

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        half = 0.5 * torch.ones_like(self.forward(*(i.lower for i in inputs)))  # type: ignore[union-attr]
        return half, half.clone()

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        a, b = inputs
        assert isinstance(a, Interval) and isinstance(b, Interval)
        if isinstance(slope, tuple):
            low, high = (s.clamp(0, 1) for s in slope)
            below = (low * b.lower + (1 - low) * b.upper, low * a.lower + (1 - low) * a.upper)
            above = (high * b.upper + (1 - high) * b.lower, high * a.lower + (1 - high) * a.upper)
        else:
            below = above = (b.center + 0 * a.lower, a.center + 0 * b.lower)
        heights = [[x * y - k[0] * x - k[1] * y for x, y in _corners(inputs)] for k in (below, above)]
        lower, upper = Line(below, reduce(torch.minimum, heights[0])), Line(above, reduce(torch.maximum, heights[1]))
        return Relaxation(lower, upper, parallel=below is above)

    def confine(self, parameters: tuple[Tensor, ...]) -> None:
        for share in parameters:
            share.clamp_(0, 1)

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        """Where both factors are wide."""
        wide = [i.lower < i.upper for i in inputs if isinstance(i, Interval)]
        both = (wide[0] & wide[1]).to(torch.int32)
        return tuple(reduce_to(both, tuple(w.shape[1:])) > 0 for w in wide)

    cuttable = True

    def sway(self, cotangent: Tensor, *inputs: Argument) -> tuple[Tensor, ...]:
        """A quarter of the other factor's width: between the planes lies half of the product of the widths in the middle."""
        a, b = (i for i in inputs if isinstance(i, Interval))
        turned = (cotangent.abs() * (i.upper - i.lower) / 4 for i in (b, a))
        return tuple(reduce_to(t, tuple(i.lower.shape[1:])) for t, i in zip(turned, (a, b), strict=True))

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        pulled = ((cotangent * k) for k in slopes)
        return tuple(reduce_to(p.flatten(0, 1), s).unflatten(0, p.shape[:2]) for p, s in zip(pulled, shapes, strict=True))


def _corners(inputs: tuple[Argument, ...]) -> list[tuple[Tensor, Tensor]]:
    a, b = inputs
    assert isinstance(a, Interval) and isinstance(b, Interval)
    return [(x, y) for x in (a.lower, a.upper) for y in (b.lower, b.upper)]
