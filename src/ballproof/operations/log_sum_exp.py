"""log_sum_exp(x) = log(sum(exp(x))) along one axis, and the chords of the exponential that softmax shares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Nonlinear, Shape, Slope
from ballproof.operations.registry import register
from ballproof.operations.scalar import split
from ballproof.values import Interval, Line, Relaxation


@dataclass(frozen=True)
class Chords:
    """Lines `slope * x + offset >= exp(x - shift)` on an interval, and their sum along an axis at its middle.

    The shift is the largest upper end, so that nothing overflows; the offset is exact for the rounded slope.
    """

    slope: Tensor
    offset: Tensor
    shift: Tensor
    total: Tensor

    @staticmethod
    def of(x: Interval, axis: int) -> Chords:
        shift = x.upper.amax(axis, keepdim=True)
        low, high = (x.lower - shift).exp(), (x.upper - shift).exp()
        run = x.upper - x.lower
        slope = torch.where(run > 0, (high - low) / run.masked_fill(run <= 0, 1), (x.center - shift).exp())
        offset = torch.maximum(low - slope * x.lower, high - slope * x.upper)
        return Chords(slope, offset, shift, (slope * x.center + offset).sum(axis, keepdim=True))


@register
@dataclass(frozen=True)
class LogSumExp(Nonlinear):
    """Convex: below lies the tangent in the middle. Above: log of the sum of the chords of exp is concave; its tangent.

    axis: counted with the batch axis. Source: Wei et al. 2023, "Convex bounds on the softmax function".
    """

    axis: int
    keepdim: bool = False

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.logsumexp(inputs[0], self.axis, self.keepdim)

    def interval(self, *inputs: Argument) -> Interval:
        x, _ = split(inputs)
        return Interval(self.forward(x.lower), self.forward(x.upper))

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, _ = split(inputs)
        chords, middle = Chords.of(x, self.axis), x.center
        below, above = middle.softmax(self.axis), chords.slope / chords.total
        low = torch.logsumexp(middle, self.axis, True) - (below * middle).sum(self.axis, True)
        high = chords.shift + chords.total.log() - (above * middle).sum(self.axis, True)
        if slope == "parallel":
            rest = above - below
            high = high + torch.maximum(rest * x.lower, rest * x.upper).sum(self.axis, True)
            above = below
        return Relaxation(Line((below,), self._kept(low)), Line((above,), self._kept(high)), parallel=below is above)

    def _kept(self, value: Tensor) -> Tensor:
        return value if self.keepdim else value.squeeze(self.axis)

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, _ = split(inputs)
        return (x.lower < x.upper,)

    cuttable = True

    def sway(self, cotangent: Tensor, *inputs: Argument) -> tuple[Tensor, ...]:
        """What lies between the two lines in the middle, shared by how far each argument can move the value."""
        x, _ = split(inputs)
        lines = self.relax(x, slope="adaptive")
        below, above = ((s.slopes[0] * x.center).sum(self.axis, True) for s in (lines.lower, lines.upper))
        ahead = lambda t: t if self.keepdim else t.unsqueeze(self.axis)  # noqa: E731
        lost = ahead(cotangent.abs()) * (above + ahead(lines.upper.offset) - below - ahead(lines.lower.offset)).abs()
        share = x.upper.softmax(self.axis)
        total = (share * (x.upper - x.lower)).sum(self.axis, True)
        return (torch.where(total > 0, lost * share / total.masked_fill(total <= 0, 1), 0.0),)

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        cotangent = cotangent if self.keepdim else cotangent.unsqueeze(self.axis + 1)
        return (cotangent * slopes[0],)
