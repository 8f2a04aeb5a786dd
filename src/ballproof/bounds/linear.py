"""Bounds by the dual network: intermediate intervals first, then lines on them, then the queries that were asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward
from ballproof.bounds.interval import arguments, exact_on_boxes, placed, step
from ballproof.bounds.local import LocalBackward, LocalPath, local_path
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import LinearMethod
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.problems.region import Region
from ballproof.values import Interval, Relaxation


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
        self.exact = exact_on_boxes(self.graph) if self.region.norm in ("linf", "box") else {self.graph.input}
        self.intervals[self.graph.input] = self.region.box()
        self.settled = {self.graph.input}

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
        mask = self.unsettled(name, node, operation)
        if bool(mask.any()):
            self.intervals[name] = self._refine(name, self.intervals[name], mask)
            self._tighten(name, node, operation)

    def unsettled(self, name: str, node: Node, operation: Nonlinear) -> Tensor:
        """Where a tighter interval of the argument `name` could improve the relaxation of `node`."""
        given = arguments(self.graph, node, self.intervals, self.constants)
        varying = [i for i in node.inputs if self.graph.node[i].varies]
        return operation.unsettled(*given)[varying.index(name)]

    def _tighten(self, name: str, node: Node, operation: Nonlinear) -> None:
        """What a method does beyond one pull-back; here nothing."""

    def _refine(self, name: str, known: Interval, mask: Tensor) -> Interval:
        """Query only the coordinates in `mask (batch, *node)`; the others keep what is known."""
        index = chosen(mask)
        found = self.coordinates(name, index)
        lower = known.lower.flatten(1).scatter(1, index, found.lower)
        upper = known.upper.flatten(1).scatter(1, index, found.upper)
        refined = Interval(lower.reshape(known.lower.shape), upper.reshape(known.upper.shape))
        return refined.intersect(known, name)

    def every_coordinate(self, name: str) -> Interval:
        """Proven ends of every coordinate of a node, one query each; the queries are shared by the batch."""
        shape = self.graph.node[name].shape
        if (path := self._local(name)) is not None:
            cells, places = path.cells, torch.arange(self.region.batch * path.cells, device=self.region.device)
            channels = torch.arange(shape[0], device=self.region.device).expand(len(places), -1)
            ends = self._by_windows(path, places, channels)
            order = [e.reshape(-1, cells, shape[0]).transpose(1, 2).reshape(-1, *shape) for e in (ends.lower, ends.upper)]
            return Interval(*order)
        index = torch.arange(_count(shape), device=self.region.device)
        found = self.coordinates(name, index.unsqueeze(0))
        return Interval(found.lower.reshape(-1, *shape), found.upper.reshape(-1, *shape))

    def coordinates(self, name: str, index: Tensor) -> Interval:
        """Proven ends of the coordinates `index (batch or 1, query)` of the flattened node, each `(batch, query)`."""
        if (path := self._local(name)) is not None:
            index = index.expand(self.region.batch, -1)
            example = torch.arange(self.region.batch, device=self.region.device).unsqueeze(1)
            places = (example * path.cells + index % path.cells).flatten()
            ends = self._by_windows(path, places, (index // path.cells).reshape(-1, 1))
            return Interval(ends.lower.reshape(index.shape), ends.upper.reshape(index.shape))
        shape = self.graph.node[name].shape

        def ask(part: Tensor) -> tuple[Tensor, Tensor | None]:
            return self.backward(name, units(part, shape, self.region.like), both=True)

        pieces = self.budget.over_queries(ask, index, self.region.batch, self._widest(name), self.region.dtype)
        uppers = [u for _, u in pieces if u is not None]
        return Interval(torch.cat([low for low, _ in pieces], 1), torch.cat(uppers, 1))

    def _local(self, name: str) -> LocalPath | None:
        """The windows of a convolutional node, where the region is a box and they pay."""
        return local_path(self.graph, name) if self.region.norm in ("linf", "box") else None

    def _by_windows(self, path: LocalPath, places: Tensor, channels: Tensor) -> Interval:
        walk = LocalBackward(self.graph, path, self.region.box(), self.constants, self.relaxations)
        dtype, queries = self.region.dtype, channels.shape[1]
        pairs = torch.cat([places.unsqueeze(1), channels], 1).T
        found = self.budget.over_queries(lambda p: walk(p[0], p[1:].T), pairs, queries, path.widest, dtype)
        return Interval(torch.cat([f.lower for f in found]), torch.cat([f.upper for f in found]))

    def lower(self, name: str, cotangent: Tensor) -> Tensor:
        """Proven lower values of `cotangent · node`, cotangent `(batch or 1, query, *node)`; `(batch, query)`."""

        def ask(part: Tensor) -> tuple[Tensor, Tensor | None]:
            return self.backward(name, part, both=False)

        pieces = self.budget.over_queries(ask, cotangent, self.region.batch, self._widest(name), self.region.dtype)
        return torch.cat([low for low, _ in pieces], 1)

    def _widest(self, name: str) -> int:
        return max(_count(n.shape) for n in self.graph.until(name).nodes if n.varies)


def chosen(mask: Tensor) -> Tensor:
    """The flat places where the mask `(batch, *node)` holds, `(batch, largest number of them)`, filled up with others."""
    flat = mask.flatten(1)
    count = int(flat.sum(1).max())
    return flat.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]


def units(index: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Queries of single coordinates, `(batch, query, *shape)`, at the flat places `index (batch, query)`."""
    rows = torch.zeros(*index.shape, _count(shape), dtype=like.dtype, device=like.device)
    return rows.scatter_(2, index.unsqueeze(2), 1.0).reshape(*index.shape, *shape)


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
