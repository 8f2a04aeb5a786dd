"""New intervals for the neurons behind a split: what the split says of one neuron tightens those that follow it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward
from ballproof.bounds.interval import arguments, step
from ballproof.bounds.linear import chosen, rowwise
from ballproof.bounds.memory import Budget
from ballproof.graph import Graph
from ballproof.operations import Nonlinear
from ballproof.problems import Region
from ballproof.solve.leaves import Leaves, Site
from ballproof.values import Interval, Relaxation

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Of their size: ends that cross by more prove that a leaf holds no input at all."""


@dataclass
class Refresh:
    """One pass over many leaves. `intervals` enclose every node on each leaf's part of the region.

    first: the first site whose followers are asked anew; what precedes keeps the intervals that the leaves know.
    `empty`: the leaves of which two proven ends cross: no input of the region satisfies their splits.
    """

    graph: Graph
    region: Region
    sites: list[Site]
    base: dict[str, Interval]
    leaves: Leaves
    first: int
    intervals: dict[str, Interval] = field(default_factory=dict)
    relaxations: dict[str, Relaxation] = field(default_factory=dict)

    def run(self) -> tuple[Leaves, Tensor]:
        """The leaves with the new intervals, and which of them are empty."""
        count = len(self.leaves)
        self.constants = {k: v.detach() for k, v in self.graph.constants().items()}
        self.many = self.region[[0] * count]
        self.empty = torch.zeros(count, dtype=torch.bool, device=self.leaves.group.device)
        self.backward = Backward(self.graph, self.many, self.constants, self.relaxations)
        self.intervals[self.graph.input] = self.many.box()
        known = self._known()
        place = {s.argument: i for i, s in enumerate(self.sites)}
        asked: set[str] = set()
        for node in self.graph.varying:
            if isinstance(node.operation, Nonlinear):
                for name in node.inputs:
                    if (
                        place.get(name, -1) > self.first
                        and name not in asked
                        and node.name == self.sites[place[name]].node.name
                    ):
                        asked.add(name)
                        self._ask(self.sites[place[name]])
                given = arguments(self.graph, node, self.intervals, self.constants)
                self.relaxations[node.name] = node.operation.relax(*given, slope="adaptive")
            found = step(self.graph, node, self.intervals, self.constants)
            self.intervals[node.name] = self._met(found, known[node.name]) if node.name in known else found
        return self._updated(), self.empty

    def _known(self) -> dict[str, Interval]:
        """By argument: the root's intervals, and what the leaves know of the neurons of the sites."""
        known = {}
        for name, i in self.base.items():
            wide = [e.expand(len(self.leaves), *e.shape[1:]) for e in (i.lower, i.upper)]
            known[name] = Interval(wide[0], wide[1])
        for site, low, high in zip(self.sites, self.leaves.low, self.leaves.high, strict=True):
            known[site.argument] = self._placed(known[site.argument], site.places.expand(len(low), -1), Interval(low, high))
        return known

    def _ask(self, site: Site) -> None:
        """Both ends of the neurons that a leaf leaves open."""
        name, own = site.argument, self.intervals[site.argument]
        given = [self.constants[i] for i in site.node.inputs[1:]]
        mask = site.operation.unsettled(own, *given)[0]
        if not bool(mask.any()):
            return
        index = chosen(mask)
        widest = max(int(torch.Size(n.shape).numel()) for n in self.graph.until(name).nodes if n.varies)
        pieces = Budget().over_queries(lambda p: self.backward.ends(name, p), index, len(index), widest, own.lower.dtype)
        lower, upper = (torch.cat(ends, 1) for ends in zip(*pieces, strict=True))
        found = Interval(lower, upper)
        before = Interval(rowwise(own.lower).gather(1, index), rowwise(own.upper).gather(1, index))
        self.intervals[name] = self._placed(own, index, self._met(found, before))

    def _placed(self, known: Interval, index: Tensor, new: Interval) -> Interval:
        ends = [
            rowwise(a).scatter(1, index, b).reshape(a.shape) for a, b in ((known.lower, new.lower), (known.upper, new.upper))
        ]
        return Interval(ends[0], ends[1])

    def _met(self, found: Interval, known: Interval) -> Interval:
        """The intersection; leaves of which it is empty are noted, and keep ends in order."""
        lower, upper = torch.maximum(found.lower, known.lower), torch.minimum(found.upper, known.upper)
        size = torch.maximum(lower.abs(), upper.abs()) + 1e-6
        crossed = lower - upper > TOLERANCE[lower.dtype] * size
        self.empty |= rowwise(crossed).any(1)
        return Interval(torch.minimum(lower, upper), torch.maximum(lower, upper))

    def _updated(self) -> Leaves:
        low, high = [], []
        for site in self.sites:
            own = self.intervals[site.argument]
            low.append(rowwise(own.lower)[:, site.places])
            high.append(rowwise(own.upper)[:, site.places])
        return replace(self.leaves, low=tuple(low), high=tuple(high))


def first_split(sites: list[Site], before: Leaves, after: Leaves) -> int:
    """The first site at which the leaves differ from their parents."""
    for number in range(len(sites)):
        if bool((after.low[number] != before.low[number]).any() | (after.high[number] != before.high[number]).any()):
            return number
    return len(sites)
