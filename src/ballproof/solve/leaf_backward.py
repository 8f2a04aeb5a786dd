"""A pull-back of one query for each leaf: a cotangent meets the leaves' own lines and multipliers at split neurons alone.

Elsewhere on a node of a site the two lines are one, so the cotangent is multiplied by its slope. In a convolution few neurons
are open (293 of 4,096 and 106 of 2,048 in a network of oval21); lines for all of them cost half of a search's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ballproof.bounds.backward import Backward, Cotangents, matters
from ballproof.bounds.free import Places
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.problems import Region
from ballproof.solve.planes import LeafPlanes, Planes, Query
from ballproof.values import Relaxation


class Taken(torch.autograd.Function):
    """A cotangent `(1, query, n)` times `slope`, which is 0 at `places`; and the cotangent at those places."""

    @staticmethod
    def forward(ctx, cotangent: Tensor, slope: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(slope, places)
        return cotangent * slope, cotangent.index_select(2, places)

    @staticmethod
    @once_differentiable
    def backward(ctx, passed: Tensor, own: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        slope, places = ctx.saved_tensors
        return (passed * slope).index_copy_(2, places, own), None, None


class Given(torch.autograd.Function):
    """What `Taken` has passed, with values `(1, query, places)` where it left zeros."""

    @staticmethod
    def forward(ctx, passed: Tensor, values: Tensor, places: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.mark_dirty(passed)
        ctx.save_for_backward(places)
        return passed.index_copy_(2, places, values)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        (places,) = ctx.saved_tensors
        return gradient, gradient.index_select(2, places), None


@dataclass(frozen=True, eq=False)
class Phases:
    """Weights on the phases of a site's rectifiers, their free slopes and their intervals, `(1, leaves, neurons)` each."""

    weight: Tensor
    share: Tensor
    low: Tensor
    high: Tensor

    def through(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """As that of an opening."""
        slope, offset = phased(own, self.weight, self.share, self.low, self.high)
        return slope, offset.sum(2)


def phased(own: Tensor, weight: Tensor, share: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """A slope and an offset with `slope z + offset <= own relu(z) + weight p` for all z in [low, high] and phases p that fit.

    p is 1 where z > 0, 0 where z < 0, either at 0. So the right side is two lines, and any slope is sound with the least
    difference at their ends as the offset. The slope lies on the envelope, at `share` of its kink (Zhang et al. 2022).
    """
    on, open_ = low >= 0, (low < 0) & (high > 0)
    left, right = torch.where(open_, low, -1.0), torch.where(open_, high, 1.0)
    middle, top = weight.clamp(max=0), weight + own * right
    first, last = -middle / left, (top - middle) / right
    slope = torch.where(first <= last, first + share.clamp(0, 1) * (last - first), top / (right - left))
    offset = torch.minimum(torch.minimum(middle, -slope * left), top - slope * right)
    return torch.where(open_, slope, own * on), torch.where(open_, offset, weight * on)


@dataclass(frozen=True, eq=False)
class Opening:
    """How cotangents pass the split neurons of a site, by leaf.

    places: of the neurons, with the slopes of all others. lines: `(1, leaves, neurons)`. multipliers: on the argument, of that
    shape, and what they cost, `(1, leaves)`; None where all are 0. phases: of rectifiers that cuts name. above: where set,
    what takes negative cotangents, of one query for each leaf, to an earlier node at once, where there are no phases.
    """

    places: Places
    lines: Relaxation
    multipliers: tuple[Tensor, Tensor] | None = None
    phases: Phases | None = None
    above: Planes | LeafPlanes | None = None

    def through(self, own: Tensor) -> tuple[Tensor, Tensor, Query | None]:
        """The cotangents of the neurons as those of their arguments, what this adds to each query, and what goes elsewhere."""
        direct, rising, falling = None, own.clamp(min=0), own.clamp(max=0)
        if self.phases is not None:
            values, extra = self.phases.through(own)
        elif self.above is None:
            values, extra = self._bent(rising, falling)
        else:
            direct, falling = self.above.below(falling)
            values, extra = self._bent(rising, falling)
        if self.multipliers is None:
            return values, extra, direct
        return values + self.multipliers[0], extra - self.multipliers[1], direct

    def _bent(self, rising: Tensor, falling: Tensor) -> tuple[Tensor, Tensor]:
        below, above = self.lines.lower, self.lines.upper
        values, extra = rising * below.slopes[0] + falling * above.slopes[0], rising.new_zeros(rising.shape[:2])
        for part, offset in ((rising, below.offset), (falling, above.offset)):
            extra = extra + (part * offset).sum(2) if matters(offset) else extra
        return values, extra


class LeafBackward(Backward):
    """The pull-back. `seen`: the cotangents of the neurons of each site that were met, `(1, query, neurons)`; `met`: those of
    other nonlinear nodes, `(1, query, *node)`."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
        openings: Mapping[str, Opening],
        more: Mapping[str, Tensor] | None = None,
    ) -> None:
        """more: queries of single nodes on top of the one at the output, `(1, query, *node)`."""
        super().__init__(graph, region, constants, relaxations)
        self.openings, self.more = openings, more or {}
        self.seen: dict[str, Tensor] = {}
        self.met: dict[str, Tensor] = {}

    def _through(self, node: Node, cotangents: Cotangents) -> None:
        if node.name in self.more:
            cotangents = Cotangents(cotangents.lower + self.more[node.name], None)
        super()._through(node, cotangents)

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        opening = self.openings.get(node.name)
        if opening is None:
            self.met[node.name] = cotangents.lower
            super()._through_nonlinear(node, operation, cotangents)
            return
        cotangent = cotangents.lower
        last = cotangent.ndim == 5 and cotangent.stride(2) == 1 and cotangent.shape[2] > 1
        places = opening.places.channels_last() if last else opening.places
        ordered = cotangent.permute(0, 1, 3, 4, 2) if last else cotangent
        flat = ordered.reshape(*ordered.shape[:2], ordered.shape[2:].numel())  # a node of one number may have no axes
        index = places.index.flatten()
        passed, own = Taken.apply(flat, places.slope, index)
        values, extra, direct = opening.through(own)
        pulled = Given.apply(passed, values, index).reshape(ordered.shape)
        if places.offset is not None:
            extra = extra + (flat * places.offset).sum(2)
        if direct is not None:
            extra = extra + direct.offset
            shape = self.graph.node[direct.source].shape
            self._send(direct.source, Cotangents(direct.values.reshape(*direct.values.shape[:2], *shape), None))
        self.seen[node.name], self.offset_lower = own, self.offset_lower + extra
        self._send(node.inputs[0], Cotangents(pulled.permute(0, 1, 4, 2, 3) if last else pulled, None))
