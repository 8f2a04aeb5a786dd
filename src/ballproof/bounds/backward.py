"""The dual network: one backward pass that turns queries at a node into proven bounds over the region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.base import unit_rows
from ballproof.problems.region import Region, row_products
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

    def queries(self, index: Tensor) -> Cotangents:
        """Some of the queries, `index (batch, query)`."""
        lower = _picked(self.lower, index)
        if self.upper is None or self.shared:
            return Cotangents(lower, None if self.upper is None else lower)
        return Cotangents(lower, _picked(self.upper, index))

    def plus(self, other: Cotangents) -> Cotangents:
        upper = self.lower + other.lower if self.shared and other.shared else _sum(self.upper, other.upper)
        lower = upper if self.shared and other.shared and upper is not None else self.lower + other.lower
        return Cotangents(lower, None if self.upper is None else upper)


def _kept(offset: Tensor | float, index: Tensor) -> Tensor | float:
    return offset if isinstance(offset, float) else offset.expand(len(index), -1).gather(1, index)


def _picked(cotangent: Tensor, index: Tensor) -> Tensor:
    example = torch.arange(len(index), device=index.device).unsqueeze(1) if len(cotangent) > 1 else 0
    return cotangent[example, index]


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a + b


@dataclass(frozen=True)
class Lines:
    """The two lines of a coordinatewise node, with a query axis.

    The slope below, the slope above (None where it is the same), the offset above and the offset below (None for zeros).
    """

    slope: Tensor
    above: Tensor | None
    over: Tensor | None
    under: Tensor | None
    gap: Tensor | None = None
    """The slope above minus the slope below, where `differ_safely`."""

    @staticmethod
    def of(relaxation: Relaxation, node: Node) -> Lines:
        below, above = _queried(relaxation.lower, node)[0], _queried(relaxation.upper, node)[0]
        over, under = (o if matters(o) else None for o in (relaxation.upper.offset, relaxation.lower.offset))
        if relaxation.parallel:
            return Lines(below, None, over, under)
        return Lines(below, above, over, under, above - below if differ_safely(below, above) else None)

    def pulled(self, cotangent: Tensor, bent: Tensor) -> Tensor:
        """The cotangent times its slopes; `bent` is the part of it that takes the line above.

        Where a difference of slopes would be rounded too much, each part meets its own alone.
        """
        if self.above is None:
            return cotangent * self.slope
        if self.gap is not None:
            return (cotangent * self.slope).addcmul_(bent, self.gap)
        rest = cotangent - bent
        fits = all(n in (1, m) for n, m in zip(self.slope.shape, rest.shape, strict=True))
        found = rest.mul_(self.slope) if fits else rest * self.slope
        return found.addcmul_(bent, self.above)

    def offset(self, cotangent: Tensor, bent: Tensor) -> Tensor | float:
        total = 0.0 if self.over is None else _dot(bent, self.over)
        return total if self.under is None else total + _dot(cotangent - bent, self.under)


class Backward:
    """One pull-back of queries from a node to the region. Sound for any relaxations that enclose their operations.

    cotangent: `(batch or 1, query, *node)`. Returns the lower and the upper value of `cotangent · node`, each
    `(batch, query)`; the upper is None unless asked for. Differentiable. Price: about one backward pass a query.
    """

    def __init__(
        self, graph: Graph, region: Region, constants: Mapping[str, Tensor], relaxations: Mapping[str, Relaxation]
    ) -> None:
        self.graph, self.region, self.constants, self.relaxations = graph, region, constants, relaxations
        self.pending: dict[str, Cotangents] = {}
        self.offset_lower: Tensor | float = 0.0
        self.offset_upper: Tensor | float = 0.0
        self._lines_of: dict[str, tuple[Relaxation, Lines]] = {}

    def __call__(self, name: str, cotangent: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        found = self.pulled(name, cotangent, both)
        return self._concretise(found, cotangent.new_zeros(self.region.batch, cotangent.shape[1]), both)

    def pulled(self, name: str, cotangent: Tensor, both: bool) -> Cotangents | None:
        """The coefficients at the region's input, None where it is not reached; `offset_lower, offset_upper` go with them."""
        self._begin((name, Cotangents(cotangent, cotangent if both else None)))
        return self._walk(name, lambda: None)

    def ends(self, name: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """The lower and upper value of the coordinates at the flat places `index (batch or 1, query)` of a node."""
        self._coordinates(name, index, None)
        found = self._walk(name, lambda: None)
        lower, upper = self._concretise(found, self.region.like.new_zeros(self.region.batch, index.shape[1]), both=True)
        assert upper is not None
        return lower, upper

    def side(self, name: str, index: Tensor, sign: Tensor, between: Callable[[], None]) -> Tensor:
        """The lower value of `sign` times the coordinates at the flat places `index (batch or 1, query)` of a node.

        sign: `(batch, query)`. between: called before each nonlinear node but the first and the last; it may `keep` some of the
        queries alone, and only those are answered.
        """
        self._coordinates(name, index, sign)
        found = self._walk(name, between)
        count = sign.shape[1] if isinstance(self.offset_lower, float) else self.offset_lower.shape[1]
        zero = self.region.like.new_zeros(self.region.batch, count if found is None else found.lower.shape[1])
        return self._concretise(found, zero, both=False)[0]

    def coefficients(self, name: str, index: Tensor) -> tuple[Tensor, Tensor]:
        """At the input, `(1, query, *input)`, of the coordinates at the flat places `index (1, query)` of a node, and what is
        added to them, `(1, query)`: behind affine nodes alone they are these coordinates."""
        self._coordinates(name, index, torch.ones_like(index, dtype=self.region.dtype))
        found = self._walk(name, lambda: None)
        zero = self.region.like.new_zeros(index.shape)
        return zero.new_zeros(*index.shape, *self.region.shape) if found is None else found.lower, zero + self.offset_lower

    def resumed(self, name: str, cotangent: Tensor, constant: Tensor) -> Tensor:
        """The lower value of `cotangent · node + constant`, for queries that have come to a node on another way."""
        self._begin((name, Cotangents(cotangent, None)))
        self.offset_lower = constant
        return self._concretise(self._walk(name, lambda: None), torch.zeros_like(constant), both=False)[0]

    def _coordinates(self, name: str, index: Tensor, sign: Tensor | None) -> None:
        """Begin with single coordinates: behind an affine node at once, with its rows."""
        node, like = self.graph.node[name], self.region.like
        constant: Tensor | None = None
        if isinstance(node.operation, Affine):
            arguments, shapes = self.graph.arguments(node, self.constants), self.graph.shapes(node)
            pulled = node.operation.rows(index.flatten(), arguments, shapes, node.shape, like)
            rows = [(p, r.unflatten(0, index.shape)) for p, r in zip(node.inputs, pulled, strict=True) if r is not None]
            constant = node.operation.constant_term(arguments, shapes)
        else:
            rows = [(name, unit_rows(index, node.shape, like))]
        if sign is not None:
            rows = [(parent, r * sign.reshape(*sign.shape, *(1 for _ in r.shape[2:]))) for parent, r in rows]
        self._begin(*((parent, Cotangents(r, r if sign is None else None)) for parent, r in rows))
        if constant is not None:
            term = constant.flatten()[index]
            term = term if sign is None else term * sign
            self.offset_lower, self.offset_upper = term, term

    def _begin(self, *pending: tuple[str, Cotangents]) -> None:
        self.pending, self.offset_lower, self.offset_upper = {}, 0.0, 0.0
        for name, cotangents in pending:
            self._send(name, cotangents)

    def _walk(self, name: str, between: Callable[[], None]) -> Cotangents | None:
        nodes = list(reversed(self.graph.until(name).varying))
        checks = worth_asking(self.graph, nodes)
        for node in nodes:
            if node.name not in self.pending:
                continue
            if node in checks:
                between()
            self._through(node, self.pending.pop(node.name))
        return self.pending.pop(self.graph.input, None)

    def keep(self, index: Tensor) -> None:
        """Go on with some of the queries alone: `index (batch, query)` of those that are on their way."""
        self.pending = {name: c.queries(index) for name, c in self.pending.items()}
        self.offset_lower, self.offset_upper = (_kept(o, index) for o in (self.offset_lower, self.offset_upper))

    def on_way(self, intervals: Mapping[str, Interval]) -> Tensor:
        """Proven lower values of the queries where they are now: what is pending, taken on the intervals of its nodes."""
        total = self.offset_lower
        for name, c in self.pending.items():
            total = on_box(c.lower, intervals[name], total)
        assert isinstance(total, Tensor)
        return total

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
        self.offset_lower = _added(self.offset_lower, _dot(cotangents.lower, constant))
        if cotangents.upper is not None:
            extra = _dot(cotangents.upper, constant)
            self.offset_upper = self.offset_upper + extra

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        relaxation = self.relaxations[node.name]
        if operation.coordinatewise and not torch.is_grad_enabled():
            self._bend(node, relaxation, cotangents)
            return
        if not relaxation.parallel:
            cotangents = self._levelled(operation, cotangents)
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

    def _levelled(self, operation: Nonlinear, cotangents: Cotangents) -> Cotangents:
        """The cotangents without what is known of a sum of outputs, which is added to the offsets."""
        level = operation.level(cotangents.lower)
        if level is None:
            return cotangents
        self.offset_lower = self.offset_lower + level.flatten(2).sum(2)
        lower = cotangents.lower - level
        if cotangents.upper is None:
            return Cotangents(lower, None)
        above = level if cotangents.shared else operation.level(cotangents.upper)
        assert above is not None
        self.offset_upper = self.offset_upper + above.flatten(2).sum(2)
        return Cotangents(lower, lower if cotangents.shared else cotangents.upper - above)

    def _bend(self, node: Node, relaxation: Relaxation, cotangents: Cotangents) -> None:
        """Through a coordinatewise node without a record of it: slopes and offsets in as few passes as there are lines."""
        lines, given = self._lines(node, relaxation), cotangents.lower
        falling = given.clamp(max=0)
        lower, upper = lines.pulled(given, falling), None
        self.offset_lower = self.offset_lower + lines.offset(given, falling)
        if cotangents.upper is not None:
            given = cotangents.upper
            rising = given.clamp(min=0)
            upper = lower if cotangents.shared and lines.above is None else lines.pulled(given, rising)
            self.offset_upper = self.offset_upper + lines.offset(given, rising)
        self._send(next(i for i in node.inputs if self.graph.node[i].varies), Cotangents(lower, upper))

    def _lines(self, node: Node, relaxation: Relaxation) -> Lines:
        """The lines of a coordinatewise node as pull-backs use them, made once a relaxation."""
        known = self._lines_of.get(node.name)
        if known is None or known[0] is not relaxation:
            known = self._lines_of[node.name] = relaxation, Lines.of(relaxation, node)
        return known[1]

    def _add_offsets(self, cotangents: Cotangents, relaxation: Relaxation) -> None:
        low, up = relaxation.lower.offset, relaxation.upper.offset
        self.offset_lower = self.offset_lower + _mixed(cotangents.lower, low, up)
        if cotangents.upper is not None:
            self.offset_upper = self.offset_upper + _mixed(cotangents.upper, up, low)

    def _send(self, parent: str, cotangents: Cotangents) -> None:
        known = self.pending.get(parent)
        self.pending[parent] = cotangents if known is None else known.plus(cotangents)

    def _concretise(self, cotangents: Cotangents | None, zero: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        if cotangents is None:
            return zero + self.offset_lower, zero + self.offset_upper if both else None
        if both and cotangents.shared:
            extent = self.region.extent(cotangents.lower)
            return extent.lower + self.offset_lower, extent.upper + self.offset_upper
        lower = self.region.minimum(cotangents.lower) + self.offset_lower
        if cotangents.upper is None:
            return lower, None
        return lower, self.offset_upper - self.region.minimum(-cotangents.upper)


def worth_asking(graph: Graph, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nonlinear nodes, in the order of a walk to the input, before which queries may be settled and leave.

    At the first one nothing new is known. Behind the last one little work is left, unless a map is queried and the input is
    larger than the last one.
    """
    bends = [n for n in nodes if isinstance(n.operation, Nonlinear)]
    least = torch.Size(graph.input_shape).numel() if nodes and len(nodes[0].shape) == 3 else 0
    return tuple(n for n in bends[1:] if n is not bends[-1] or torch.Size(n.shape).numel() <= least)


def _pull(operation: Affine, cotangent: Tensor | None, arguments, shapes) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
    """`pull_back` with the batch and query axes folded into one."""
    assert cotangent is not None
    ahead = cotangent.shape[:2]
    pulled = operation.pull_back(cotangent.flatten(0, 1), arguments, shapes)
    return tuple(None if p is None else p.unflatten(0, ahead) for p in pulled)


def _queried(line: Line, node: Node) -> tuple[Tensor, ...]:
    """The slopes of a line with a query axis, of length 1 where all queries share them."""
    return line.slopes if line.offset.ndim == len(node.shape) + 2 else tuple(s.unsqueeze(1) for s in line.slopes)


class Bent(torch.autograd.Function):
    """A cotangent times one slope where it is positive and another one elsewhere; gradients in few passes over the memory."""

    @staticmethod
    def forward(ctx, cotangent: Tensor, positive: Tensor, negative: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        slope = torch.where(cotangent > 0, positive, negative)
        ctx.save_for_backward(cotangent, slope)
        ctx.shapes = positive.shape, negative.shape
        return cotangent * slope

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        (cotangent, slope), (positive, negative) = ctx.saved_tensors, ctx.shapes
        own = (gradient * slope).sum_to_size(cotangent.shape) if ctx.needs_input_grad[0] else None
        up = (gradient * cotangent.clamp(min=0)).sum_to_size(positive) if ctx.needs_input_grad[1] else None
        down = (gradient * cotangent.clamp(max=0)).sum_to_size(negative) if ctx.needs_input_grad[2] else None
        return own, up, down


def _bend(operation: Nonlinear, cotangent: Tensor, positive: Slopes, negative: Slopes, shapes) -> Slopes:  # type: ignore[no-untyped-def]
    """The positive part of the cotangent times one line's slopes, the negative part times the other's."""
    if operation.coordinatewise:
        return (Bent.apply(cotangent, positive[0], negative[0]),)
    up = operation.pull_slopes(cotangent.clamp(min=0), positive, shapes)
    down = operation.pull_slopes(cotangent.clamp(max=0), negative, shapes)
    return tuple(a + b for a, b in zip(up, down, strict=True))


def _dot(cotangent: Tensor, constant: Tensor) -> Tensor:
    """`(batch or 1, query, *node) · (1 or batch, *node) or (batch, query, *node) -> (batch, query)`."""
    constant = constant.to(cotangent)
    if constant.ndim == cotangent.ndim:
        product = cotangent * constant
        return product.reshape(*product.shape[:2], product.shape[2:].numel()).sum(2)
    if cotangent.ndim == 5 and cotangent.stride(2) == 1:  # channels last: flattened in that order, nothing is copied
        cotangent, constant = cotangent.permute(0, 1, 3, 4, 2), constant.permute(0, 2, 3, 1)
    rows = cotangent.reshape(*cotangent.shape[:2], cotangent.shape[2:].numel())
    values = constant.reshape(len(constant), -1)
    if len(values) == 1:
        return rows @ values[0]
    return values @ rows[0].T if len(rows) == 1 else row_products(rows, values)


def _added(total: Tensor | float, more: Tensor) -> Tensor:
    """The sum of what was added before, the number 0 where that is nothing, and more."""
    return more if isinstance(total, float) else total + more


def rowwise(value: Tensor) -> Tensor:
    """`(batch, *node)` as `(batch, coordinates)`, for nodes of one number without axes too."""
    return value if value.ndim == 2 else value.reshape(len(value), value.shape[1:].numel())


def on_box(cotangent: Tensor, box: Interval, offset: Tensor | float = 0.0) -> Tensor:
    """The minimum of the queries over a box plus an offset `(batch or 1, query)`, `(batch, query)`."""
    if len(cotangent) == len(box.lower):
        columns = cotangent.reshape(*cotangent.shape[:2], cotangent.shape[2:].numel()).transpose(1, 2)
        lower, upper = rowwise(box.lower).unsqueeze(1), rowwise(box.upper).unsqueeze(1)
        start = offset.unsqueeze(1) if isinstance(offset, Tensor) else cotangent.new_zeros(())
        reached = torch.baddbmm(start, upper - lower, columns.abs(), alpha=-0.5)
        return torch.baddbmm(reached, upper + lower, columns, alpha=0.5).squeeze(1)
    return offset + _dot(cotangent, box.center) - _dot(cotangent.abs(), box.radius)


def _mixed(cotangent: Tensor, positive: Tensor, negative: Tensor) -> Tensor | float:
    """The positive part of the cotangent times one offset plus the negative part times the other, summed over the node."""
    total: Tensor | float = 0.0
    if matters(positive):
        total = total + _dot(cotangent.clamp(min=0), positive)
    if matters(negative):
        total = total + _dot(cotangent.clamp(max=0), negative)
    return total


def differ_safely(below: Tensor, above: Tensor) -> bool:
    """Whether the slope below plus the difference to the one above is the latter, up to a few roundings of its own size."""
    return bool((below.abs() <= 4 * above.abs()).all())


def matters(offset: Tensor) -> bool:
    """Whether an offset can change a bound or its gradient."""
    return offset.requires_grad or bool((offset != 0).any())
