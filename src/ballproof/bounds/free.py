"""Free parameters of nonlinear nodes: where they stand, the lines they make of them, the steps they take.

Any parameters are sound. Of a scalar function only the open coordinates have some: elsewhere the two lines are one, and a
cotangent is multiplied by its slope. In a network few are open (8 % and 22 % of the two maps of WK-small at eps 0.02).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ballproof.bounds.backward import matters, rowwise
from ballproof.bounds.linear import chosen
from ballproof.graph import Node
from ballproof.operations import Nonlinear
from ballproof.operations.base import Argument
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval, Relaxation

TINY = 1e-30
"""Where no gradient was ever larger, nothing moves."""


class Opened(torch.autograd.Function):
    """A cotangent `(batch, query, n)` times `slope`, but at the places `index` times one slope where it is positive and
    another one elsewhere; and the cotangent at those places."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, cotangent: Tensor, slope: Tensor, index: Tensor, positive: Tensor, negative: Tensor
    ) -> tuple[Tensor, Tensor]:
        pulled = cotangent * slope
        index = index.expand(-1, cotangent.shape[1], -1)
        own = cotangent.expand(len(index), -1, -1).gather(2, index)
        pulled.scatter_(2, index, torch.addcmul(own.clamp(min=0) * positive, own.clamp(max=0), negative))
        ctx.save_for_backward(slope, index, own, positive, negative)
        return pulled, own

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor, extra: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        slope, index, own, positive, negative = ctx.saved_tensors
        at = gradient.gather(2, index)
        up = (at * own.clamp(min=0)).sum_to_size(positive.shape) if ctx.needs_input_grad[3] else None
        down = (at * own.clamp(max=0)).sum_to_size(negative.shape) if ctx.needs_input_grad[4] else None
        if not ctx.needs_input_grad[0]:
            return None, None, None, up, down
        back = gradient * slope
        back.scatter_(2, index, torch.addcmul(extra, at, torch.where(own > 0, positive, negative)))
        return back, None, None, up, down


@dataclass(frozen=True)
class Places:
    """The open coordinates of a node, and the lines of the others.

    index: `(batch, 1, open)`, flat. slope, offset: `(batch, 1, coordinates)`, flat, 0 at the open ones; offset None: all 0.
    """

    shape: tuple[int, ...]
    index: Tensor
    slope: Tensor
    offset: Tensor | None
    _channels_last: list[Places] = field(default_factory=list)

    def channels_last(self) -> Places:
        """The same, counted in the order in which the channels of a map come last."""
        if not self._channels_last:
            channels, cells = self.shape[0], self.shape[1] * self.shape[2]
            slope, offset = (None if t is None else _swapped(t, channels) for t in (self.slope, self.offset))
            assert slope is not None
            self._channels_last.append(Places(self.shape, self.index % cells * channels + self.index // cells, slope, offset))
        return self._channels_last[0]

    def of_examples(self, keep: Tensor) -> Places:
        return Places(self.shape, self.index[keep], self.slope[keep], None if self.offset is None else self.offset[keep])


def _swapped(flat: Tensor, channels: int) -> Tensor:
    return flat.reshape(len(flat), 1, channels, -1).transpose(2, 3).flatten(2)


@dataclass
class Free:
    """The free parameters of one nonlinear node, `(batch, query or 1, ...)` each, and the largest gradient each had.

    places: the coordinates that they belong to; None for all of the node. scales: how far a step of 1 goes.
    """

    node: Node
    operation: Nonlinear
    given: list[Argument]
    values: tuple[Tensor, ...]
    places: Places | None
    scales: tuple[Tensor, ...]
    largest: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        self.largest = self.largest or tuple(torch.zeros_like(p) for p in self.values)

    def relaxation(self) -> Relaxation:
        return self.operation.relax(*self.given, slope=self.values)

    def bend(self, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """The pull-back of a cotangent `(batch or 1, query, *node)`, and what the offsets add, `(batch, query)`."""
        assert self.places is not None
        last = cotangent.ndim == 5 and cotangent.stride(2) == 1 and cotangent.shape[2] > 1
        places = self.places.channels_last() if last else self.places
        ordered = cotangent.permute(0, 1, 3, 4, 2) if last else cotangent
        flat, lines = ordered.reshape(*ordered.shape[:2], -1), self.relaxation()
        pulled, own = Opened.apply(flat, places.slope, places.index, lines.lower.slopes[0], lines.upper.slopes[0])
        offset = _offsets(own, lines)
        if places.offset is not None:
            offset = offset + (flat * places.offset).sum(2)
        pulled = pulled.reshape(-1, *ordered.shape[1:])
        return pulled.permute(0, 1, 4, 2, 3) if last else pulled, offset

    def step(self, gradients: list[Tensor], rate: float) -> None:
        """One step uphill, by the gradient's share of the largest one so far, back into the parameters' range."""
        for value, scale, largest, gradient in zip(self.values, self.scales, self.largest, gradients, strict=True):
            torch.maximum(largest, gradient.abs(), out=largest)
            value.add_(gradient / largest.clamp(min=TINY) * scale, alpha=rate)
        self.operation.confine(self.values)

    def learn(self, on: bool) -> list[Tensor]:
        """The parameters, with or without a record of what is done with them."""
        return [p.requires_grad_(on) for p in self.values]

    def of_examples(self, keep: Tensor) -> Free:
        """Only some examples."""
        given: list[Argument] = [g[keep] if isinstance(g, Interval) or self.places is not None else g for g in self.given]
        values, largest = (tuple(v[keep] for v in vs) for vs in (self.values, self.largest))
        scales = tuple(s[keep] if s.ndim else s for s in self.scales)
        places = None if self.places is None else self.places.of_examples(keep)
        return replace(self, given=given, values=values, scales=scales, largest=largest, places=places)


def _offsets(own: Tensor, lines: Relaxation) -> Tensor:
    total = own.new_zeros(own.shape[:2])
    if matters(lines.lower.offset):
        total = total + (own.clamp(min=0) * lines.lower.offset).sum(2)
    if matters(lines.upper.offset):
        total = total + (own.clamp(max=0) * lines.upper.offset).sum(2)
    return total


def whole(node: Node, operation: Nonlinear, given: list[Argument], queries: int) -> Free | None:
    """Parameters for every coordinate, at the adaptive lines; None where nothing is free."""
    start = operation.start(*given)
    if not start:
        return None
    values = tuple(_queried(p, queries) for p in start)
    scales = tuple(p.abs().amax().clamp(min=1e-3) for p in values)
    wide = [w if isinstance(g, Interval) else g for g, w in zip(given, _wide(given), strict=True)]
    return Free(node, operation, wide, values, None, scales)


def opened(node: Node, operation: Scalar, given: list[Argument], found: Relaxation, queries: int) -> Free | None:
    """Parameters for the open coordinates alone, at the adaptive lines; None where none is open.

    given: the arguments `(batch, *map)`. found: lines on them; where the two differ, a coordinate is open.
    """
    x, constants = given[0], given[1:]
    assert isinstance(x, Interval)
    low, up = found.lower, found.upper
    mask = operation.unsettled(*given)[0] | (low.slopes[0] != up.slopes[0]) | (low.offset != up.offset)
    index = chosen(mask)
    if not index.shape[1]:
        return None
    slope, offset = (rowwise(t).scatter(1, index, 0.0).unsqueeze(1) for t in (low.slopes[0], low.offset))
    places = Places(tuple(mask.shape[1:]), index.unsqueeze(1), slope, offset if matters(offset) else None)
    ends = Interval(_at(x.lower, index), _at(x.upper, index))
    others = [_at(c.expand_as(x.lower), index) for c in constants if isinstance(c, Tensor)]
    start = tuple(_queried(p, queries) for p in operation.start(ends, *others))
    spread = operation.spread(ends, *others).unsqueeze(1)
    return Free(node, operation, _wide([ends, *others]), start, places, tuple(spread for _ in start))


def _at(value: Tensor, index: Tensor) -> Tensor:
    return rowwise(value).gather(1, index)


def _queried(value: Tensor, queries: int) -> Tensor:
    return value.detach().unsqueeze(1).expand(-1, queries, *value.shape[1:]).clone()


def _wide(given: list[Argument]) -> list[Argument]:
    """With a query axis of length 1."""
    return [Interval(g.lower.unsqueeze(1), g.upper.unsqueeze(1)) if isinstance(g, Interval) else g.unsqueeze(1) for g in given]
