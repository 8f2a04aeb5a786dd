"""Bounds by the dual network: intermediate intervals first, then lines on them, then the queries that were asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward, rowwise
from ballproof.bounds.interval import arguments, exact_on_boxes, placed, step
from ballproof.bounds.local import LocalBackward, Sight, sight
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import LinearMethod
from ballproof.bounds.placed import Asked, PlacedBackward
from ballproof.bounds.race import Race, likely_side, racing
from ballproof.bounds.skeleton import Skeletons
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import Region
from ballproof.values import Interval, Relaxation

SHARED = 0.6
"""From this share of a node's coordinates on, all are asked: queries that all examples share start with one pull-back."""

SKELETONS = 16
"""Bytes of the budget for each number of a skeleton: four of the number itself, the rest for the queries."""

FEWER = 4
"""So many times fewer numbers of a query are held at once in a skeleton: most queries never reach the widest node."""

RACING, LATE = 2, 4
"""So many times the cache's size may be held by queries of which many are settled on their way, and by those of a
convolution, where few arrive at the widest node: with more of them at once those that go on share more windows."""


@dataclass
class LinearPass:
    """All that one pass over the network proves on a region: intervals of nodes and relaxations on them.

    `intervals` encloses every node that a relaxation or a later interval needed; it is filled by `run`, front to back,
    and read by whoever wants to start queries of their own.
    """

    graph: Graph
    region: Region
    method: LinearMethod
    budget: Budget = field(default_factory=Budget)
    intervals: dict[str, Interval] = field(default_factory=dict)
    relaxations: dict[str, Relaxation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = self.graph.constants()
        self.backward = Backward(self.graph, self.region, self.constants, self.relaxations)
        boxed, numbers = self.region.norm in ("linf", "box"), self.budget.bytes // SKELETONS
        self.skeletons = Skeletons(self.graph, self.constants, self.relaxations, self.intervals, boxed, numbers)
        self.exact = exact_on_boxes(self.graph) if boxed else {self.graph.input}
        self.intervals[self.graph.input] = self.region.box()
        self.settled = {self.graph.input}
        self._sights: dict[str, Sight | None] = {}
        self._walks: dict[str, PlacedBackward] = {}

    def run(self) -> LinearPass:
        """Walk front to back; at every nonlinear node settle the intervals of its arguments, then relax it."""
        for node in self.graph.varying:
            if isinstance(node.operation, Nonlinear):
                self._relax(node, node.operation)
            if self._interval_wanted(node):
                self.intervals[node.name] = step(self.graph, node, self.intervals, self.constants)
        return self

    def _interval_wanted(self, node: Node) -> bool:
        return self.method.intersect or self.method.intermediate == "interval" or node.name in self.exact

    def _relax(self, node: Node, operation: Nonlinear) -> None:
        for name in node.inputs:
            if self.graph.node[name].varies:
                self._settle(name, node, operation)
        given = arguments(self.graph, node, self.intervals, self.constants)
        with placed(node):
            self.relaxations[node.name] = operation.relax(*given, slope=self.method.slope)

    def _settle(self, name: str, node: Node, operation: Nonlinear) -> None:
        """The interval of `name`, as tight as the method makes it."""
        if name in self.settled or name in self.exact or self.method.intermediate == "interval":
            return
        self.settled.add(name)
        if not self.method.intersect:
            self.intervals[name] = self.every_coordinate(name)
            return
        mask, asks = self.unsettled(name, node, operation), racing(operation, len(node.inputs))
        if len([n for n in self.graph.varying if name in n.inputs and isinstance(n.operation, Nonlinear)]) > 1:
            mask, asks = torch.ones_like(mask), None  # what is settled for one of them may not be for another
        if bool(mask.any()):
            self.intervals[name] = self._refine(name, self.intervals[name], mask, asks)

    def unsettled(self, name: str, node: Node, operation: Nonlinear) -> Tensor:
        """Where a tighter interval of the argument `name` could improve the relaxation of `node`."""
        given = arguments(self.graph, node, self.intervals, self.constants)
        varying = [i for i in node.inputs if self.graph.node[i].varies]
        return operation.unsettled(*given)[varying.index(name)]

    def _refine(self, name: str, known: Interval, mask: Tensor, asks: Scalar | None) -> Interval:
        """Query only the coordinates in `mask (batch, *node)`; the others keep what is known.

        asks: an operation that one end may settle; then that end is asked first, and the other end only of the coordinates
        that it leaves open. It settles none of those: the value in the middle of the region lies on its side.
        """
        if asks is None:
            return self._both_ends(name, known, mask)
        sign = likely_side(asks, self.middle[name])
        known = self._one_side(name, known, mask, sign, asks)
        mask = mask & asks.unsettled(known)[0]
        return self._one_side(name, known, mask, -sign, None) if bool(mask.any()) else known

    @cached_property
    def middle(self) -> dict[str, Tensor]:
        """The value of every node in the middle of the region."""
        with torch.no_grad():
            return self.graph.activations(self.region.box().center)

    def _both_ends(self, name: str, known: Interval, mask: Tensor) -> Interval:
        if (seen := self._sight(name)) is not None:
            ends = self._by_windows(seen, mask)
            found = Interval(known.lower.masked_scatter(mask, ends.lower), known.upper.masked_scatter(mask, ends.upper))
            return found.intersect(known, name)
        index = self._asked(mask)
        ends = self._ends(name, index)
        found = _scattered(known, index.expand(len(mask), -1), ends)
        return found.intersect(known, name)

    def _one_side(self, name: str, known: Interval, mask: Tensor, sign: Tensor, asks: Scalar | None) -> Interval:
        """The ends with those of this sign asked; asks: an operation for which coordinates may be settled on the way."""
        if (seen := self._sight(name)) is not None:
            part = self._side_by_windows(seen, mask, known, sign, asks)
            return Interval(known.lower.masked_scatter(mask, part.lower), known.upper.masked_scatter(mask, part.upper))
        index, bones = self._asked(mask), None if torch.is_grad_enabled() else self.skeletons.of(name)

        def ask(part: Tensor) -> Interval:
            whole = part.expand(len(mask), -1)
            ends = Interval(rowwise(known.lower).gather(1, whole), rowwise(known.upper).gather(1, whole))
            race = Race(ends, rowwise(sign).gather(1, whole), asks)
            walk = self.backward
            if bones is not None:
                return bones.ask(whole, race, lambda rows, rest: walk.resumed(bones.head, rows, rest))

            def between() -> None:
                if (left := race.after(walk.on_way(self.intervals))) is not None:
                    walk.keep(left)

            return race.finished(walk.side(name, part, race.sign, between if asks else lambda: None))

        widest, times = (self._widest(name), RACING) if bones is None else (max(1, self._widest(name) // FEWER), 1)
        pieces = self.budget.over_queries(ask, index, len(mask), widest, self.region.dtype, times)
        found = Interval(torch.cat([p.lower for p in pieces], 1), torch.cat([p.upper for p in pieces], 1))
        return _scattered(known, index.expand(len(mask), -1), found)

    def _asked(self, mask: Tensor) -> Tensor:
        """The flat places to ask, `(batch or 1, query)`: all of them where nearly all are wanted."""
        index = chosen(mask)
        if index.shape[1] > SHARED * mask[0].numel():
            return torch.arange(mask[0].numel(), device=mask.device).unsqueeze(0)
        return index

    def _ends(self, name: str, index: Tensor) -> Interval:
        """Both ends of the coordinates `index (batch or 1, query)`, `(batch, query)` each."""
        pieces = self.budget.over_queries(
            lambda part: self.backward.ends(name, part), index, self.region.batch, self._widest(name), self.region.dtype
        )
        lower, upper = (torch.cat(ends, 1) for ends in zip(*pieces, strict=True))
        return Interval(lower, upper)

    def every_coordinate(self, name: str) -> Interval:
        """Proven ends of every coordinate of a node, one query each; the queries are shared by the batch."""
        shape = self.graph.node[name].shape
        if (seen := self._sight(name)) is not None:
            mask = torch.ones(self.region.batch, *shape, dtype=torch.bool, device=self.region.device)
            found = self._by_windows(seen, mask)
            return Interval(found.lower.reshape(mask.shape), found.upper.reshape(mask.shape))
        found = self._ends(name, torch.arange(_count(shape), device=self.region.device).unsqueeze(0))
        return Interval(found.lower.reshape(-1, *shape), found.upper.reshape(-1, *shape))

    def _sight(self, name: str) -> Sight | None:
        """The windows of a convolutional node, where the region is a box and they pay."""
        if name not in self._sights:
            self._sights[name] = sight(self.graph, name) if self.region.norm in ("linf", "box") else None
        return self._sights[name]

    def _by_windows(self, seen: Sight, mask: Tensor) -> Interval:
        """Both ends of the neurons in the mask `(batch, *node)`, in its order."""
        walk, (place, channel) = self._local(seen), seen.places(mask)
        asked = torch.stack([place, channel])
        found = self.budget.over_queries(lambda p: walk.ends(p[0], p[1]), asked, 1, seen.widest, self.region.dtype)
        return Interval(torch.cat([f.lower for f in found]), torch.cat([f.upper for f in found]))

    def _side_by_windows(self, seen: Sight, mask: Tensor, known: Interval, sign: Tensor, asks: Scalar | None) -> Interval:
        """The ends of the neurons in the mask, in its order, of which the side of this sign is asked."""
        walk, (place, channel) = self._placed(seen), seen.places(mask)
        ends, number = known[mask], torch.arange(len(place), device=place.device)
        every = Asked(number, place, channel, sign[mask])
        order = every.ordered()

        def ask(part: Tensor) -> Interval:
            asked = every.at(part[0])
            return walk.side(replace(asked, number=number[: len(part[0])]), ends[part[0]], asks)

        widest = seen.ahead if asks else seen.widest
        found = self.budget.over_queries(ask, order.unsqueeze(0), 1, widest, self.region.dtype, LATE)
        lower, upper = torch.cat([f.lower for f in found]), torch.cat([f.upper for f in found])
        return Interval(ends.lower.index_put((order,), lower), ends.upper.index_put((order,), upper))

    def _placed(self, seen: Sight) -> PlacedBackward:
        """Made once for a node: both of its sides see the same windows."""
        name = seen.nodes[0].name
        if name not in self._walks:
            most = self.budget.queries(1, seen.widest, self.region.dtype, LATE)
            given = self.constants, self.relaxations, self.intervals
            self._walks = {name: PlacedBackward(self.graph, seen, self.region.box(), *given, most)}
        return self._walks[name]

    def _local(self, seen: Sight) -> LocalBackward:
        return LocalBackward(self.graph, seen, self.region.box(), self.constants, self.relaxations, self.intervals)

    def lower(self, name: str, cotangent: Tensor) -> Tensor:
        """Proven lower values of `cotangent · node`, cotangent `(batch or 1, query, *node)`; `(batch, query)`."""

        def ask(part: Tensor) -> tuple[Tensor, Tensor | None]:
            return self.backward(name, part, both=False)

        pieces = self.budget.over_queries(ask, cotangent, self.region.batch, self._widest(name), self.region.dtype)
        return torch.cat([low for low, _ in pieces], 1)

    def _widest(self, name: str) -> int:
        return max(_count(n.shape) for n in self.graph.until(name).nodes if n.varies)


def _scattered(known: Interval, index: Tensor, ends: Interval) -> Interval:
    """Intervals `(batch, *node)` with new ends `(batch, query)` at the flat places `index (batch, query)`."""
    lower = rowwise(known.lower).scatter(1, index, ends.lower).reshape(known.lower.shape)
    return Interval(lower, rowwise(known.upper).scatter(1, index, ends.upper).reshape(lower.shape))


def chosen(mask: Tensor) -> Tensor:
    """The flat places where the mask `(batch, *node)` holds, `(batch, largest number of them)`, filled up with others."""
    flat = rowwise(mask)
    count = int(flat.sum(1).max())
    return flat.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
