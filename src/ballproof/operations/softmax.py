"""softmax(x) = exp(x) / sum(exp(x)) along one axis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.operations.base import Argument, Nonlinear, Shape, Slope
from ballproof.operations.log_sum_exp import Chords
from ballproof.operations.registry import register
from ballproof.operations.scalar import split
from ballproof.values import Interval, Line, Relaxation

Slopes = tuple[Tensor, Tensor]


@register
@dataclass(frozen=True)
class Softmax(Nonlinear):
    """The two lines of each output touch, in the middle of the box, functions that are convex and concave.

    Below: exp(x_k) / sum of the chords of exp is convex. Above: p_k = exp(t) for t = x_k - log_sum_exp(x), which is concave
    and lies between the logarithms of p_k's ends, so p_k is below the chord of exp there. Source: Wei et al. 2023.
    Both have slopes of the form `g_k (1[j = k] - w_j)`: a line keeps `(g, w)`, each of the shape of x.

    axis: counted with the batch axis. Price: an interval costs the square of the axis' length.
    """

    axis: int
    codomain = (0.0, 1.0)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].softmax(self.axis)

    def interval(self, *inputs: Argument) -> Interval:
        x, _ = split(inputs)
        lower, upper = self._logarithms(x)
        return Interval(lower.exp(), upper.exp())

    def _logarithms(self, x: Interval) -> tuple[Tensor, Tensor]:
        """The exact ends of the logarithms of the outputs: the output's own argument at one end, all others at the other."""
        low, high = x.lower.movedim(self.axis, -1), x.upper.movedim(self.axis, -1)
        own = torch.eye(low.shape[-1], dtype=torch.bool, device=low.device)
        ends = []
        for mine, others in ((low, high), (high, low)):
            terms = torch.where(own, mine.unsqueeze(-1), others.unsqueeze(-2))
            ends.append((mine - torch.logsumexp(terms, -1)).movedim(-1, self.axis))
        return ends[0], ends[1]

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, _ = split(inputs)
        below, above = self._below(x), self._above(x)
        if slope == "parallel":
            above = Line(below.slopes, above.offset + self._reach(x, above.slopes, below.slopes))
        return Relaxation(below, above, parallel=above.slopes is below.slopes)

    def _below(self, x: Interval) -> Line:
        chords, middle = Chords.of(x, self.axis), x.center
        value = (middle - chords.shift).exp() / chords.total
        weights = chords.slope / chords.total
        return Line((value, weights), value * (1 - middle + (weights * middle).sum(self.axis, True)))

    def _above(self, x: Interval) -> Line:
        start, end = self._logarithms(x)
        run, middle = end - start, x.center
        growth = torch.where(run > 0, (end.exp() - start.exp()) / run.masked_fill(run <= 0, 1), end.exp())
        height = torch.maximum(start.exp() - growth * start, end.exp() - growth * end)
        weights = middle.softmax(self.axis)
        mean = (weights * middle).sum(self.axis, True)
        return Line((growth, weights), height + growth * (mean - torch.logsumexp(middle, self.axis, True)))

    def _reach(self, x: Interval, above: tuple[Tensor, ...], below: tuple[Tensor, ...]) -> Tensor:
        """The largest value of the difference of the two linear parts on the box, for each output."""
        matrix = self._matrix(above) - self._matrix(below)
        low, high = (e.movedim(self.axis, -1).unsqueeze(-2) for e in (x.lower, x.upper))
        return torch.maximum(matrix * low, matrix * high).sum(-1).movedim(-1, self.axis)

    def _matrix(self, slopes: tuple[Tensor, ...]) -> Tensor:
        growth, weights = (s.movedim(self.axis, -1) for s in slopes)
        own = torch.eye(growth.shape[-1], dtype=growth.dtype, device=growth.device)
        return growth.unsqueeze(-1) * (own - weights.unsqueeze(-2))

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, _ = split(inputs)
        return (x.lower < x.upper,)

    cuttable = True

    def sway(self, cotangent: Tensor, *inputs: Argument) -> tuple[Tensor, ...]:
        """What all outputs lose between their lines in the middle, shared by how far each argument can move the sum."""
        x, _ = split(inputs)
        weight = (cotangent - cotangent.median(self.axis, keepdim=True).values).abs()
        lines, value = self.relax(x, slope="adaptive"), self.forward(x.center)
        touching = self._at(lines.lower, x.center), self._at(lines.upper, x.center)
        lost = weight * ((value - touching[0]).abs() + (touching[1] - value).abs())
        most = self.interval(x).upper
        total = (most * (x.upper - x.lower)).sum(self.axis, True)
        return (torch.where(total > 0, lost.sum(self.axis, True) * most / total.masked_fill(total <= 0, 1), 0.0),)

    def _at(self, line: Line, x: Tensor) -> Tensor:
        growth, weights = line.slopes
        return growth * (x - (weights * x).sum(self.axis, True)) + line.offset

    def level(self, cotangent: Tensor) -> Tensor:
        """The outputs along the axis sum to one, so that only how their coefficients differ from the median is bounded."""
        return cotangent.median(self.axis + 1, keepdim=True).values

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        growth, weights = slopes
        grown = cotangent * growth
        return (grown - weights * grown.sum(self.axis + 1, True),)
