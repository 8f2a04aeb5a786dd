"""The walk of CROWN-IBP: queries pulled back by adaptive lines on interval bounds, rectifiers in few passes over the maps.

A rectifier on [l, u] has the line a z below, a = 1 where l + u > 0 and else 0, and where it bends s (z - l) above, with
s = u / (u - l). A coefficient c goes on as max(c, 0) a + min(c, 0) s, and -min(c, 0) s min(l, 0) is added to the bound.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ballproof.bounds.backward import Backward, Cotangents
from ballproof.bounds.interval import arguments
from ballproof.graph import Node
from ballproof.operations import Nonlinear
from ballproof.operations.relu import Relu
from ballproof.train.losses.moment import Moment

LEAST = 1e-30
"""In place of a width of zero, where a coordinate is zero all over the region."""


def lower_by_lines(moment: Moment, rows: Tensor) -> Tensor:
    """Proven lower values `(batch, query)` of queries at the output, by adaptive lines on the interval bounds."""
    graph, constants = moment.graph, moment.graph.constants()
    lines = {
        n.name: n.operation.relax(*arguments(graph, n, moment.intervals, constants), slope="adaptive")
        for n in graph.varying
        if isinstance(n.operation, Nonlinear) and not isinstance(n.operation, Relu)
    }
    return _Walk(moment, constants, lines)(graph.output, rows, both=False)[0]


class _Walk(Backward):
    """Lower values alone; rectifiers by `Bend`, every other node as in all walks."""

    def __init__(self, moment: Moment, *rest: Any) -> None:
        super().__init__(moment.graph, moment.region, *rest)
        self.intervals = moment.intervals

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        if not isinstance(operation, Relu):
            return super()._through_nonlinear(node, operation, cotangents)
        ends = self.intervals[node.inputs[0]]
        pulled, offset = Bend.apply(cotangents.lower.contiguous(), ends.lower, ends.upper)
        self.offset_lower = self.offset_lower + offset
        return self._send(node.inputs[0], Cotangents(pulled, None))


class Bend(torch.autograd.Function):
    """Takes coefficients `(batch, query, *node)` through rectifiers; lower, upper `(batch, *node)`: ends of their arguments.

    Returns the coefficients of the arguments, and what is added, `(batch, query)`. Gradients by hand. Nothing is chosen element
    by element (`where`, `masked_fill`), which takes twenty times as long as a product where signs are mixed.
    """

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        up, down = upper.relu(), lower.clamp(max=0)
        width = (up - down).clamp_(min=LEAST)
        chord, below = up / width, (lower + upper).sign_().relu_()
        falling = cotangent.clamp(max=0).mul_(chord.unsqueeze(1))
        pulled = torch.addcmul(falling, cotangent.relu(), below.unsqueeze(1))
        ctx.save_for_backward(cotangent, lower, upper, width, chord, below, falling)
        return pulled, torch.linalg.vecdot(falling.flatten(2), down.flatten(1).unsqueeze(1)).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pulled, paid = gradients
        cotangent, lower, upper, width, chord, below, falling = ctx.saved_tensors
        paid = paid.reshape(*paid.shape, *(1 for _ in width.shape[1:]))
        kept = torch.ops.aten.threshold_backward
        along = torch.addcmul(pulled, paid, lower.clamp(max=0).unsqueeze(1), value=-1)  # of `falling`
        turned = (along * cotangent.clamp(max=0)).sum(1).div_(width)  # of the chord, over the width
        below_chord = turned * chord
        to_upper = kept(turned - below_chord, upper, 0)
        to_lower = kept(below_chord.sub_((paid * falling).sum(1)), -lower, 0)
        along = along.mul_(chord.unsqueeze(1))
        own = kept((pulled * below.unsqueeze(1)).sub_(along), cotangent, 0).add_(along)
        return own, to_lower, to_upper
