"""Queries whose free slopes are taken uphill: any slope is sound, so the best value of all steps is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward, Cotangents
from ballproof.bounds.free import Free, opened
from ballproof.bounds.local import Coefficients, LocalBackward
from ballproof.bounds.methods import AlphaMethod
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import Region
from ballproof.values import Interval, Line, Relaxation


class FreeBackward(Backward):
    """A pull-back of fixed queries at a node, again and again, through lines that the free parameters make."""

    def __init__(
        self,
        graph: Graph,
        region: Region,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
        free: dict[str, Free],
    ) -> None:
        super().__init__(graph, region, constants, relaxations)
        self.free, self.left = free, list(reversed(graph.varying))

    def begin(self, name: str, cotangent: Tensor) -> None:
        """Pull the queries `(batch or 1, query, *node)` back to the first nonlinear node, once for all."""
        self._begin((name, Cotangents(cotangent, None)))
        self.queries = cotangent.shape[1]
        while self.left and not (isinstance(self.left[0].operation, Nonlinear) and self.left[0].name in self.pending):
            node = self.left.pop(0)
            if node.name in self.pending:
                self._through(node, self.pending.pop(node.name))
        self.start, self.start_offset = self.pending, self.offset_lower

    def values(self) -> Tensor:
        """The proven lower values of the queries, `(batch, query)`."""
        self.pending, self.offset_lower = dict(self.start), self.start_offset
        everywhere = {f.node.name: f.relaxation() for f in self.free.values() if f.places is None}
        self.relaxations = {**self.relaxations, **everywhere}
        for node in self.left:
            if node.name in self.pending:
                self._through(node, self.pending.pop(node.name))
        zero = self.region.like.new_zeros(self.region.batch, self.queries)
        return self._concretise(self.pending.pop(self.graph.input, None), zero, both=False)[0]

    def of_examples(self, keep: Tensor) -> FreeBackward:
        """The same queries of some examples."""
        free = {name: f.of_examples(keep) for name, f in self.free.items()}
        fixed = {name: some(relaxation, keep) for name, relaxation in self.relaxations.items() if name not in free}
        part = FreeBackward(self.graph, self.region[keep], self.constants, fixed, free)
        part.left, part.queries = self.left, self.queries
        part.start = {name: Cotangents(_rows(c.lower, keep), None) for name, c in self.start.items()}
        offset = self.start_offset
        part.start_offset = _rows(offset, keep) if isinstance(offset, Tensor) else offset
        return part

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        own = self.free.get(node.name)
        if own is None or own.places is None:
            super()._through_nonlinear(node, operation, cotangents)
            return
        pulled, offset = own.bend(cotangents.lower)
        self.offset_lower = self.offset_lower + offset
        self._send(next(i for i in node.inputs if self.graph.node[i].varies), Cotangents(pulled, None))


class FreeWindows(LocalBackward):
    """The same for the neurons of a convolution: every query has parameters of its own in the windows it sees."""

    def start(self, place: Tensor, channel: Tensor, sign: float) -> None:
        """The queries `sign` times the neurons at `place (query,)`, `channel (query,)`."""
        self.asked = place, channel, torch.full((len(place),), sign, dtype=self.box.lower.dtype, device=place.device)
        cells, back = place.unique(return_inverse=True)
        self.free = {
            n.name: f for n in self.seen.nodes if isinstance(n.operation, Scalar) and (f := self._freed(n, cells, back))
        }

    def values(self) -> Tensor:
        """The proven lower values of the queries, `(query,)`."""
        self._begin(*self.asked)
        for node in self.seen.nodes:
            self._through(node)
        return self._concretise().lower

    def _freed(self, node: Node, cells: Tensor, back: Tensor) -> Free | None:
        """Made once for each cell of the map, then given to all queries at it."""
        assert isinstance(node.operation, Scalar)
        name, fixed = next(i for i in node.inputs if self.graph.node[i].varies), self.relaxations[node.name]
        self.place, ends = cells, self.intervals[name]
        x = Interval(self._cut("low", name, lambda: ends.lower), self._cut("high", name, lambda: ends.upper))
        lines = Relaxation(self._line(node, "below", fixed.lower), self._line(node, "above", fixed.upper))
        found = opened(node, node.operation, [x], lines, 1)
        return found.of_examples(back) if found else None

    def _line(self, node: Node, side: str, line: Line) -> Line:
        """The windows of a line of all coordinates."""
        slope = self._cut(f"slope {side}", node.name, lambda: line.slopes[0])
        return Line((slope,), self._cut(f"offset {side}", node.name, lambda: line.offset))

    def _nonlinear(self, node: Node) -> None:
        if (own := self.free.get(node.name)) is None:
            super()._nonlinear(node)
            return
        coming = self._each(self._masked(node, self.pending.pop(node.name)))
        pulled, offset = own.bend(coming.lower.unsqueeze(1))
        self.low = self.low + offset.squeeze(1)
        parent = next(i for i in node.inputs if self.graph.node[i].varies)
        self._send(parent, Coefficients(pulled.squeeze(1), None, by_channel=False))


def climb(walk: FreeBackward | FreeWindows, method: AlphaMethod, inner: bool) -> Tensor:
    """The best values of all steps, each query for itself; examples whose values all exceed `method.stop` go no further.

    inner: the queries are intermediate ones, which have steps of their own and no level at which to stop.
    """
    steps, decay = (method.inner, method.inner_decay) if inner else (method.steps, method.decay)
    steps, rate = steps if walk.free else 0, method.rate
    best = active = torch.empty(0)
    for number in range(steps + 1):
        parameters = [p for f in walk.free.values() for p in f.learn(number < steps)]
        with torch.set_grad_enabled(number < steps):
            values = walk.values()
        if number == 0:
            best, active = values.detach(), torch.arange(len(values), device=values.device)
        best[active] = torch.maximum(best[active], values.detach())
        if number == steps or not values.requires_grad:
            break
        uphill(list(walk.free.values()), parameters, values, rate)
        rate *= decay
        if method.stop is not None and isinstance(walk, FreeBackward) and not inner:
            keep = (best[active] <= method.stop).any(1)
            if not bool(keep.any()):
                break
            walk, active = (walk, active) if bool(keep.all()) else (walk.of_examples(keep), active[keep])
    return best


def uphill(free: list[Free], parameters: list[Tensor], values: Tensor, rate: float) -> None:
    """One step of all parameters towards larger values."""
    with torch.enable_grad():
        total = values.sum()  # with a cotangent of its own torch would import a second's worth of modules
    found = iter(torch.autograd.grad(total, parameters, materialize_grads=True))
    for own in free:
        own.learn(on=False)
        own.step([next(found) for _ in own.values], rate)


def some(relaxation: Relaxation, keep: Tensor) -> Relaxation:
    """Of some examples."""
    lines = [
        replace(line, slopes=tuple(_rows(s, keep) for s in line.slopes), offset=_rows(line.offset, keep))
        for line in (relaxation.lower, relaxation.upper)
    ]
    return Relaxation(lines[0], lines[1], relaxation.parallel)


def _rows(value: Tensor, keep: Tensor) -> Tensor:
    return value if value.shape[0] == 1 and len(keep) != 1 else value[keep]
