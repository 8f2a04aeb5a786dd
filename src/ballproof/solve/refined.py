"""Narrower intervals of neurons: before the property is searched, a search on each end of each neuron, front to back.

A relaxation loses most where many neurons are open, and late layers stand on the intervals of all earlier ones. So the region
is cut at earlier neurons until the value of one neuron is known better: its end is then the worst of the parts. Many neurons
turn out to have one sign. (What others reach with integer programs for single neurons: Tjeng et al. 2019, MIPVerify.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.graph import Graph
from ballproof.problems import Region
from ballproof.solve.branching import children, chosen
from ballproof.solve.clock import Clock
from ballproof.solve.leaf_bounds import LeafBounds
from ballproof.solve.leaves import Leaves, Site, root, sites_of
from ballproof.values import Interval, Relaxation

ROUNDS = 64
"""Cuts for each end at most."""

STEPS_ROOT, STEPS_LEAF = 20, 6
CANDIDATES = 2

TOGETHER = 512
"""Leaves that are bounded at once at most."""

ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Of its size: what an end is wider by than the search found it."""

Lines = Callable[[Graph, Mapping[str, Interval], Mapping[str, Tensor]], dict[str, Relaxation]]


def refined(
    graph: Graph,
    region: Region,
    intervals: Mapping[str, Interval],
    asked: Mapping[str, Tensor],
    clock: Clock,
    lines: Lines,
) -> dict[str, Interval]:
    """Intervals that are nowhere wider than the given ones, as narrow as there is time for. Sound for the whole region.

    asked: by nonlinear node, the flat places of the neurons that are worth a search. lines: of a graph on intervals, for every
    nonlinear node.
    """
    found = dict(intervals)
    constants = {k: v.detach() for k, v in graph.constants().items()}
    sites = sites_of(graph, found, constants)
    for number, site in enumerate(sites):
        earlier = graph.until(site.argument)
        cut = sites_of(earlier, found, constants)
        open_ = site.operation.unsettled(_flat(found[site.argument], site), *site.constants)[0]
        open_ &= torch.isin(site.places, asked[site.node.name])
        if not cut or not bool(open_.any()):
            continue
        own = replace(site, places=site.places[open_], constants=tuple(c[open_] for c in site.constants))
        bounds = _bounds(earlier, region, cut, lines(earlier, found, constants), own)
        ends = _Ends(bounds, own, root(cut, found, torch.arange(2 * len(own.places)), 1), _flat(found[site.argument], own))
        found[site.argument] = ends.run(clock.part(1 / (len(sites) - number)), found[site.argument])
    return found


def _flat(interval: Interval, site: Site) -> Interval:
    """At the site's neurons, `(neurons,)`."""
    return Interval(*(end.reshape(-1)[site.places] for end in (interval.lower, interval.upper)))


def _bounds(graph: Graph, region: Region, cut: list[Site], lines: dict[str, Relaxation], asked: Site) -> LeafBounds:
    """The queries: first each neuron, then its negative."""
    count, size = len(asked.places), int(torch.Size(graph.output_shape).numel())
    unit = torch.zeros(count, size, dtype=region.dtype).scatter_(1, asked.places.unsqueeze(1), 1.0)
    rows = torch.cat([unit, -unit]).reshape(2 * count, 1, *graph.output_shape)
    return LeafBounds(graph, region, cut, lines, rows, rows.new_zeros(2 * count, 1), quick=True)


@dataclass
class _Ends:
    """The parts of the region for each end, which is a group of leaves, and what is proven of them."""

    bounds: LeafBounds
    site: Site
    leaves: Leaves
    known: Interval

    def run(self, clock: Clock, whole: Interval) -> Interval:
        """whole: the interval of all neurons of the argument, of which those of the site get new ends."""
        self.whole = self.leaves[:1]
        start = torch.cat([self.known.lower, -self.known.upper])
        self.leaves, self.at = self._bounded(replace(self.leaves, bound=start), STEPS_ROOT)
        for _ in range(ROUNDS):
            worst = self._worst()
            if clock.over or not len(worst) or not self._cut(worst):
                break
        low, high = self._ends()
        lower, upper = whole.lower.clone().reshape(-1), whole.upper.clone().reshape(-1)
        lower[self.site.places], upper[self.site.places] = torch.minimum(low, high), torch.maximum(low, high)
        return Interval(lower.reshape(whole.lower.shape), upper.reshape(whole.upper.shape))

    def _ends(self) -> tuple[Tensor, Tensor]:
        """What is proven of each neuron."""
        least = torch.full_like(self.known.lower, torch.inf).repeat(2)
        low, high = least.scatter_reduce(0, self.leaves.group, self.leaves.bound, "amin").reshape(2, -1)
        share = ROUNDING[low.dtype]
        low, high = low - share * low.abs(), -(high - share * high.abs())
        return torch.maximum(low, self.known.lower), torch.minimum(high, self.known.upper)

    def _worst(self) -> Tensor:
        """The leaf of least value of each end, for neurons that are not settled."""
        low, high = self._ends()
        open_ = self.site.operation.unsettled(Interval(low, high), *self.site.constants)[0].repeat(2)
        order = self.leaves.bound.argsort(descending=True)
        worst = torch.zeros_like(open_, dtype=torch.long)
        worst[self.leaves.group[order]] = order
        return worst[open_.nonzero().flatten()]

    def _cut(self, worst: Tensor) -> bool:
        """These leaves in two each; whether any could be."""
        made = []
        for some in worst.split(TOGETHER // 2):
            leaves = self.leaves[some]
            left, _, choice, points = chosen(self.bounds, leaves, [a[some] for a in self.at], CANDIDATES)
            if len(left):
                pairs = children(self.bounds.sites, leaves[left], choice, points)
                made.append((some[left], *self._bounded(pairs, STEPS_LEAF)))
        if not made:
            return False
        kept = torch.ones_like(self.leaves.group, dtype=torch.bool)
        for gone, _, _ in made:
            kept[gone] = False
        rest = kept.nonzero().flatten()
        self.at = [torch.cat([a[rest], *(m[2][k] for m in made)]) for k, a in enumerate(self.at)]
        self.leaves = Leaves.joined([self.leaves[rest], *(m[1] for m in made)])
        return True

    def _bounded(self, leaves: Leaves, steps: int) -> tuple[Leaves, list[Tensor]]:
        split = [
            (a != c) | (b != d) for a, b, c, d in zip(leaves.low, leaves.high, self.whole.low, self.whole.high, strict=True)
        ]
        leaves, seen = self.bounds.ascend(leaves, steps, split)
        return leaves, seen.at
