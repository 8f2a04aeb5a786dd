"""Narrower intervals of neurons: before the property is searched, a search on each end of each neuron, front to back.

A relaxation loses most where many neurons are open, and late layers stand on the intervals of all earlier ones. So the region
is cut at earlier neurons until the value of one neuron is known better: its end is then the worst of the parts. Many neurons
turn out to have one sign. (What others reach with integer programs for single neurons: Tjeng et al. 2019, MIPVerify.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ballproof.bounds.interval import step
from ballproof.graph import Graph
from ballproof.graph.prune import without_zeros
from ballproof.operations.base import unit_rows
from ballproof.problems import Region
from ballproof.solve.branching import children, chosen, losses
from ballproof.solve.clock import Clock
from ballproof.solve.leaf_bounds import SLACK, Evaluation, LeafBounds
from ballproof.solve.leaves import Leaves, Site, cut_ends, root, sites_of
from ballproof.solve.marks import Mark, joints_of
from ballproof.values import Interval, Relaxation

PARTS, NUMBERS = 1024, 2**26
"""Parts of the region for each end, on the mean of all ends of a layer, and numbers that these parts may hold
together; the first parts, one for each end, are made in any case."""

SHARE = 8
"""Of the parts of an end the worst one in so many is cut at once."""

STEPS_ROOT, STEPS_LEAF = 20, 6
CANDIDATES = 2

TOGETHER, WORK = 512, 2**24
"""Leaves that are bounded at once at most, and numbers that they may hold."""

Lines = Callable[[Graph, Mapping[str, Interval], Mapping[str, Tensor]], dict[str, Relaxation]]


class Refinement:
    """A search on single neurons of a network, from these intervals. lines: of a graph on intervals, by nonlinear node."""

    parts = PARTS

    def __init__(self, graph: Graph, region: Region, intervals: Mapping[str, Interval], lines: Lines) -> None:
        self.graph, self.region, self.intervals, self.lines = graph, region, dict(intervals), lines
        self.constants = {k: v.detach() for k, v in graph.constants().items()}

    def run(self, clock: Clock) -> dict[str, Interval]:
        """Intervals that are nowhere wider than the given ones, as narrow as there is time for. Sound for the whole region.

        Every open neuron is asked for: one layer left wide makes all later ones wide.
        """
        sites = sites_of(self.graph, self.intervals, self.constants)
        for number, site in enumerate(sites):
            if (own := self._open(site)) is not None:
                self.intervals[site.argument] = self._searched(own, clock.part(1 / (len(sites) - number)))
                self.intervals[site.node.name] = step(self.graph, site.node, self.intervals, self.constants)
        return self.intervals

    def _open(self, site: Site) -> Site | None:
        """The neurons of the site that are searched for, if any."""
        if isinstance(site.operation, Mark):
            return None
        open_ = site.operation.unsettled(at(self.intervals[site.argument], site.places), *site.constants)[0]
        return site.take(open_) if bool(open_.any()) else None

    def _searched(self, site: Site, clock: Clock) -> Interval:
        """The interval of the site's argument, with new ends of its neurons."""
        known = self.intervals[site.argument]
        graph, intervals = self._before(site)
        constants = {k: v.detach() for k, v in graph.constants().items()}
        cut = sites_of(graph, intervals, constants)
        if not cut:
            return known
        unit = unit_rows(site.places, graph.output_shape, known.lower)
        rows = torch.cat([unit, -unit]).unsqueeze(1)
        lines = self.lines(graph, intervals, constants)
        joints = joints_of(graph, cut, intervals, constants)
        zero = rows.new_zeros(len(rows), 1)
        bounds = LeafBounds(graph, self.region, cut, lines, rows, zero, quick=True, joints=joints)
        start = root(cut, intervals, torch.arange(len(rows), device=rows.device), zero)
        ends = Ends(self.parts, bounds, site, start, at(known, site.places))
        ends.run(clock)
        return self._told(ends, known)

    def _before(self, site: Site) -> tuple[Graph, dict[str, Interval]]:
        """The network up to the site's argument, and its intervals; without units that are zero, as no proof is written."""
        return without_zeros(self.graph.until(site.argument), self.intervals)

    def _told(self, ends: Ends, known: Interval) -> Interval:
        """What holds of the argument after a search; one that writes its proof takes what a checker makes of it."""
        return known_with(known, ends.site.places, *ends.proven())


def at(interval: Interval, places: Tensor) -> Interval:
    """At these flat places, `(places,)`."""
    return Interval(*(end.reshape(-1)[places] for end in (interval.lower, interval.upper)))


def known_with(known: Interval, places: Tensor, low: Tensor, high: Tensor) -> Interval:
    """The interval with narrower ends at these flat places; ends that cross, by rounding, are put in order."""
    lower, upper = known.lower.clone().reshape(-1), known.upper.clone().reshape(-1)
    low, high = torch.maximum(low, lower[places]), torch.minimum(high, upper[places])
    lower[places], upper[places] = torch.minimum(low, high), torch.maximum(low, high)
    return Interval(lower.reshape(known.lower.shape), upper.reshape(known.upper.shape))


class Ends:
    """The parts of the region for each end of the site's neurons, and what is proven of them.

    Each end is a group of leaves: first those of the lower ends, then those of the upper ones. cells: how parts were cut, by
    the number of a part, which is that of its group for a whole region: the neuron, counted over all sites that are cut, the
    place, and the numbers of both halves.
    """

    def __init__(self, parts: int, bounds: LeafBounds, site: Site, leaves: Leaves, known: Interval) -> None:
        self.bounds, self.site, self.known, self.whole = bounds, site, known, leaves[:1]
        self.most = min(parts * len(leaves), NUMBERS // sum(5 * low.shape[1] for low in leaves.low))
        start = torch.cat([known.lower, -known.upper])
        self.leaves, self.count = replace(leaves, bound=start, cell=leaves.group), len(leaves)
        self.cells: dict[int, tuple[int, float, int, int]] = {}
        size = sum(int(torch.Size(n.shape).numel()) for n in bounds.graph.varying)
        self.room = max(8, min(TOGETHER, WORK // size))

    def run(self, clock: Clock) -> None:
        """Cuts the worst parts of each end of neurons that are not settled, as long as there is time."""
        parts = [self._bounded(self.leaves[some], STEPS_ROOT) for some in torch.arange(len(self.leaves)).split(self.room)]
        self.leaves, self.seen = Leaves.joined([p[0] for p in parts]), Evaluation.joined([p[1] for p in parts])
        while len(self.leaves) < self.most and not clock.over and self._cut(self._worst(), clock):
            pass

    def proven(self) -> tuple[Tensor, Tensor]:
        """The ends of the neurons, `(neurons,)` each, wider than found by what rounding may cost sums of that size."""
        least = torch.full_like(self.known.lower, torch.inf).repeat(2)
        low, high = least.scatter_reduce(0, self.leaves.group, self.leaves.bound, "amin").reshape(2, -1)
        slack = SLACK[low.dtype] * torch.maximum(self.known.lower.abs(), self.known.upper.abs())
        return low - slack, slack - high

    def _worst(self) -> Tensor:
        """An eighth of the leaves of each end, those of least value, for neurons not settled and if the worst can be cut."""
        low, high = self.proven()
        open_ = self.site.operation.unsettled(Interval(torch.minimum(low, high), high), *self.site.constants)[0].repeat(2)
        order = self.leaves.bound.argsort()
        order = order[self.leaves.group[order].argsort(stable=True)]
        group, counts = self.leaves.group[order], self.leaves.group.bincount(minlength=len(open_))
        rank = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[group]
        first = order[rank == 0]
        open_ &= (losses(self.bounds.sites, self.leaves[first], self.seen[first])[0] > 0).any(1)
        return order[(rank * SHARE < counts[group]) & open_[group]]

    def _cut(self, worst: Tensor, clock: Clock) -> bool:
        """These leaves in two each, as many as there is time for; whether any could be."""
        gone, made, seen = [], [], []
        for some in worst.split(self.room // 2):
            leaves = self.leaves[some]
            left, _, choice, points = chosen(self.bounds, leaves, self.seen[some], CANDIDATES)
            if len(left) and not clock.over:
                gone.append(some[left])
                pairs, found = self._bounded(self._halves(leaves[left], choice, points), STEPS_LEAF)
                made.append(pairs)
                seen.append(found)
        if not gone:
            return False
        kept = torch.ones_like(self.leaves.group, dtype=torch.bool)
        kept[torch.cat(gone)] = False
        rest = kept.nonzero().flatten()
        self.seen = Evaluation.joined([self.seen[rest], *seen])
        self.leaves = Leaves.joined([self.leaves[rest], *made])
        return True

    def _halves(self, leaves: Leaves, choice: Tensor, points: Tensor) -> Leaves:
        """Both halves of each, under new numbers."""
        new = torch.arange(self.count, self.count + 2 * len(leaves), device=leaves.group.device).reshape(2, -1)
        cuts = zip(leaves.cell.tolist(), choice.tolist(), points.tolist(), *new.tolist(), strict=True)
        self.cells |= {cell: cut for cell, *cut in cuts}
        self.count += 2 * len(leaves)
        return replace(children(self.bounds.sites, leaves, choice, points), cell=new.flatten())

    def _bounded(self, leaves: Leaves, steps: int) -> tuple[Leaves, Evaluation]:
        """The leaves with better bounds."""
        return self.bounds.ascend(leaves, steps, cut_ends(leaves, self.whole))
