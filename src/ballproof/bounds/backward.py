"""The dual network: one backward pass that turns queries at a node into proven bounds over the region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.problems.region import Region
from ballproof.values import Interval, Line, Relaxation

Slopes = tuple[Tensor, ...]


@dataclass
class Cotangents:
    """The coefficients of the queries at one node, `(batch or 1, query, *node)`; one tensor while both bounds share it.

    `lower` belongs to the lower bound of the query, `upper` to the upper one; both are coefficients of the query itself.
    """

    lower: Tensor
    upper: Tensor | None

    @property
    def shared(self) -> bool:
        return self.upper is None or self.upper is self.lower

    def plus(self, other: Cotangents) -> Cotangents:
        upper = self.lower + other.lower if self.shared and other.shared else _sum(self.upper, other.upper)
        lower = upper if self.shared and other.shared and upper is not None else self.lower + other.lower
        return Cotangents(lower, None if self.upper is None else upper)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a + b


class Backward:
    """One pull-back of queries from a node to the region. Sound for any relaxations that enclose their operations.

    cotangent: `(batch or 1, query, *node)`. Returns the lower and the upper value of `cotangent · node`, each
    `(batch, query)`; the upper is None unless asked for. Differentiable. Price: about one backward pass a query.
    """

    def __init__(
        self, graph: Graph, region: Region, constants: Mapping[str, Tensor], relaxations: Mapping[str, Relaxation]
    ) -> None:
        self.graph, self.region, self.constants, self.relaxations = graph, region, constants, relaxations

    def __call__(self, name: str, cotangent: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        return self._concretise(self.pulled(name, cotangent, both), cotangent, both)

    def pulled(self, name: str, cotangent: Tensor, both: bool) -> Cotangents | None:
        """The coefficients at the region's input, None where it is not reached; `offset_lower, offset_upper` go with them."""
        self.pending = {name: Cotangents(cotangent, cotangent if both else None)}
        self.offset_lower: Tensor | float = 0.0
        self.offset_upper: Tensor | float = 0.0
        for node in reversed(self.graph.until(name).varying):
            if node.name in self.pending:
                self._through(node, self.pending.pop(node.name))
        return self.pending.pop(self.graph.input, None)

    def on_intervals(self, name: str, cotangent: Tensor, intervals: Mapping[str, Interval]) -> Tensor:
        """The lower value of `cotangent · node`, pulled back through affine nodes only, then taken on the intervals.

        Sound for any intervals that enclose their nodes; tighter than the interval of the node itself because the
        query meets the last affine layers before anything is rounded to a box. `(batch, query)`.
        """
        self.pending = {name: Cotangents(cotangent, None)}
        self.offset_lower = 0.0
        total: Tensor | float = 0.0
        for node in reversed(self.graph.until(name).varying):
            if node.name not in self.pending:
                continue
            if isinstance(node.operation, Affine):
                self._through_affine(node, node.operation, self.pending.pop(node.name))
            else:
                total = total + _on_box(self.pending.pop(node.name).lower, intervals[node.name])
        if self.graph.input in self.pending:
            total = total + self.region.minimum(self.pending.pop(self.graph.input).lower)
        return total + self.offset_lower + cotangent.new_zeros(self.region.batch, cotangent.shape[1])

    def _through(self, node: Node, cotangents: Cotangents) -> None:
        if isinstance(node.operation, Affine):
            self._through_affine(node, node.operation, cotangents)
        else:
            assert isinstance(node.operation, Nonlinear)
            self._through_nonlinear(node, node.operation, cotangents)

    def _through_affine(self, node: Node, operation: Affine, cotangents: Cotangents) -> None:
        arguments, shapes = self.graph.arguments(node, self.constants), self.graph.shapes(node)
        self._add_constant(cotangents, operation.constant_term(arguments, shapes))
        lower = _pull(operation, cotangents.lower, arguments, shapes)
        upper = lower if cotangents.shared else _pull(operation, cotangents.upper, arguments, shapes)
        for parent, low, up in zip(node.inputs, lower, upper, strict=True):
            if low is not None:
                self._send(parent, Cotangents(low, None if cotangents.upper is None else up))

    def _add_constant(self, cotangents: Cotangents, constant: Tensor | None) -> None:
        if constant is None:
            return
        self.offset_lower = self.offset_lower + _dot(cotangents.lower, constant)
        if cotangents.upper is not None:
            extra = _dot(cotangents.upper, constant)
            self.offset_upper = self.offset_upper + extra

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        relaxation = self.relaxations[node.name]
        shapes = tuple(s for s, i in zip(self.graph.shapes(node), node.inputs, strict=True) if self.graph.node[i].varies)
        if relaxation.parallel and cotangents.shared:
            pulled = operation.pull_slopes(cotangents.lower, _queried(relaxation.lower, node), shapes)
            pulled_up: tuple[Tensor | None, ...] = pulled
        else:
            below, above = _queried(relaxation.lower, node), _queried(relaxation.upper, node)
            pulled = _bend(operation, cotangents.lower, below, above, shapes)
            pulled_up = tuple(None for _ in pulled)
            if cotangents.upper is not None:
                pulled_up = _bend(operation, cotangents.upper, above, below, shapes)
        self._add_offsets(cotangents, relaxation)
        parents = [i for i in node.inputs if self.graph.node[i].varies]
        for parent, low, up in zip(parents, pulled, pulled_up, strict=True):
            self._send(parent, Cotangents(low, None if cotangents.upper is None else up))

    def _add_offsets(self, cotangents: Cotangents, relaxation: Relaxation) -> None:
        low, up = relaxation.lower.offset, relaxation.upper.offset
        self.offset_lower = self.offset_lower + _mixed(cotangents.lower, low, up)
        if cotangents.upper is not None:
            self.offset_upper = self.offset_upper + _mixed(cotangents.upper, up, low)

    def _send(self, parent: str, cotangents: Cotangents) -> None:
        known = self.pending.get(parent)
        self.pending[parent] = cotangents if known is None else known.plus(cotangents)

    def _concretise(self, cotangents: Cotangents | None, like: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        if cotangents is None:
            zero = like.new_zeros(self.region.batch, like.shape[1])
            return zero + self.offset_lower, zero + self.offset_upper if both else None
        if both and cotangents.shared:
            extent = self.region.extent(cotangents.lower)
            return extent.lower + self.offset_lower, extent.upper + self.offset_upper
        lower = self.region.minimum(cotangents.lower) + self.offset_lower
        if cotangents.upper is None:
            return lower, None
        return lower, self.offset_upper - self.region.minimum(-cotangents.upper)


def _pull(operation: Affine, cotangent: Tensor | None, arguments, shapes) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    """`pull_back` with the batch and query axes folded into one."""
    assert cotangent is not None
    ahead = cotangent.shape[:2]
    pulled = operation.pull_back(cotangent.flatten(0, 1), arguments, shapes)
    return tuple(None if p is None else p.unflatten(0, ahead) for p in pulled)


def _queried(line: Line, node: Node) -> tuple[Tensor, ...]:
    """The slopes of a line with a query axis, of length 1 where all queries share them."""
    return line.slopes if line.offset.ndim == len(node.shape) + 2 else tuple(s.unsqueeze(1) for s in line.slopes)


def _bend(operation: Nonlinear, cotangent: Tensor, positive: Slopes, negative: Slopes, shapes) -> Slopes:  # type: ignore[no-untyped-def]
    """The positive part of the cotangent times one line's slopes, the negative part times the other's."""
    if operation.coordinatewise:
        return (cotangent * torch.where(cotangent >= 0, positive[0], negative[0]),)
    up = operation.pull_slopes(cotangent.clamp(min=0), positive, shapes)
    down = operation.pull_slopes(cotangent.clamp(max=0), negative, shapes)
    return tuple(a + b for a, b in zip(up, down, strict=True))


def _dot(cotangent: Tensor, constant: Tensor) -> Tensor:
    """`(batch or 1, query, *node) · (1 or batch, *node) or (batch, query, *node) -> (batch, query)`."""
    constant = constant.to(cotangent)
    if constant.ndim == cotangent.ndim:
        return (cotangent * constant).flatten(2).sum(2)
    if constant.shape[0] == 1:
        return cotangent.flatten(2) @ constant.flatten()
    return torch.einsum("bqn,bn->bq" if cotangent.shape[0] > 1 else "xqn,bn->bq", cotangent.flatten(2), constant.flatten(1))


def _on_box(cotangent: Tensor, box: Interval) -> Tensor:
    """The minimum of the queries over a box, `(batch, query)`."""
    return _dot(cotangent, box.center) - _dot(cotangent.abs(), box.radius)


def _mixed(cotangent: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """The positive part of the cotangent times one offset plus the negative part times the other, summed over the node."""
    total: Tensor | float = 0.0
    if matters(positive):
        total = total + _dot(cotangent.clamp(min=0), positive)
    if matters(negative):
        total = total + _dot(cotangent.clamp(max=0), negative)
    return total if isinstance(total, Tensor) else cotangent.new_zeros(())


def matters(offset: Tensor) -> bool:
    """Whether an offset can change a bound or its gradient."""
    return offset.requires_grad or bool((offset != 0).any())
