"""Tighter intervals for a leaf: only points that violate the property matter, so its margin bounds every neuron as well.

Where the margin m is at most 0, any neuron has `z >= z + w m` for every weight w >= 0; a lower bound of the right side over
the whole leaf therefore bounds z where a counterexample could lie. One pull-back from the output takes both terms along.
Late layers gain most: of their wide intervals only a narrow part leads to a violation. (Kotha et al. 2023 bound preimages so.)
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ballproof.solve.clock import Clock
from ballproof.solve.leaf_bounds import RATE, LeafBounds
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.marks import Mark
from ballproof.values import Interval

STEPS_ROOT, STEPS_LEAF = 15, 6
SCALES_ROOT, SCALES_LEAF = (0.03, 0.1, 0.3, 1.0), (0.3,)
"""Weights of the margin to begin with, in units of the neurons' size over the margin's."""

SHARE = 0.7
"""Of what the relaxation of a leaf loses: the neurons that lose this much together are asked."""

LEAST_GAIN = 0.02
"""The share of a site's width that a round has to take off, for earlier sites and further rounds to be tried."""

WORK = 2**26
"""Numbers that the queries bounded together may hold."""

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Of their size: ends that cross by more prove that a leaf holds no violation at all."""


MOST_MARKS = 256
"""Of one argument of a joint function: beyond that all the queries cost more than they tell."""


def narrowed(site: Site) -> bool:
    """Whether the neurons of a site get narrow intervals."""
    return not isinstance(site.operation, Mark) or len(site.places) <= MOST_MARKS


class _Neurons(LeafBounds):
    """Bounds of single neurons where the property is violated: a query is a leaf, with the weights of the rows as its mix."""

    def __init__(self, bounds: LeafBounds) -> None:
        super().__init__(
            bounds.graph, bounds.region, bounds.sites, bounds.lines, bounds.rows, bounds.offsets, joints=bounds.joints
        )
        self.planes = bounds.planes
        self.target, self.unit, self.size = "", bounds.rows.new_zeros(0), bounds.rows.new_zeros(0)
        self.guide = None if bounds.scout is bounds else _Neurons(bounds.scout)
        self.scout = self.guide or self

    def aim(self, site: Site, columns: Tensor, sign: Tensor, size: Tensor) -> None:
        """Ask for `sign` times the neuron at this column of the site, one for each leaf. size: `(leaves, 1)`, of weights."""
        self.target, self.size = site.argument, size
        count = int(torch.Size(self.graph.node[site.argument].shape).numel())
        self.unit = sign.new_zeros(len(columns), count).scatter(1, site.places[columns].unsqueeze(1), sign.unsqueeze(1))
        if self.guide is not None:
            self.guide.aim(site, columns, *(t.to(self.guide.rows.dtype) for t in (sign, size)))

    def _weights(self, leaves: Leaves) -> Tensor:
        return leaves.mix

    def _more(self, leaves: Leaves) -> dict[str, Tensor]:
        return {self.target: self.unit.reshape(1, len(leaves), *self.graph.node[self.target].shape)}

    def _mixes(self, leaves: Leaves) -> list[Tensor]:
        return [leaves.mix]

    def _mix_rates(self, leaves: Leaves) -> list[Tensor | float]:
        return [RATE * self.size]

    def _confine_mix(self, mix: Tensor) -> None:
        mix.clamp_(min=0)


class Violated:
    """Intervals on the part of leaves where the property is violated. Never wider than those given.

    thorough: more steps and every neuron, as is right for the few leaves that all others come from.
    """

    def __init__(self, bounds: LeafBounds, thorough: bool) -> None:
        self.bounds = bounds
        self.neurons = _Neurons(bounds)
        self.steps = STEPS_ROOT if thorough else STEPS_LEAF
        self.scales = SCALES_ROOT if thorough else SCALES_LEAF
        self.share = 1.0 if thorough else SHARE

    def run(self, leaves: Leaves, losses: Tensor, cuts: list[Tensor], clock: Clock) -> tuple[Leaves, Tensor, float]:
        """The leaves with new intervals, which of them hold no violation, and the largest share that a site's width lost.

        losses: `(leaves, all neurons)`, what the relaxation loses at each. cuts: by site, `(leaves, neurons)`, the neurons that
        may have multipliers. leaves.bound: what is proven of each.
        """
        empty, most = torch.zeros(len(leaves), dtype=torch.bool, device=leaves.group.device), 0.0
        asked = self._asked(losses).split([len(s.places) for s in self.bounds.sites], 1)
        for number in reversed(range(len(self.bounds.sites))):
            if clock.over:
                break
            site = self.bounds.sites[number]
            if site.argument == self.bounds.graph.input or not bool(asked[number].any()) or not narrowed(site):
                continue
            before = _width(leaves, number)
            leaves, crossed = self._site(leaves, cuts, number, asked[number], clock)
            empty |= crossed
            kept = before > 0
            gain = float((1 - _width(leaves, number)[kept] / before[kept]).amax()) if bool(kept.any()) else 0.0
            most = max(most, gain)
            if gain < LEAST_GAIN:
                break
        return leaves, empty, most

    def _asked(self, losses: Tensor) -> Tensor:
        """The neurons that lose most."""
        top, order = losses.clamp(min=0).sort(1, descending=True)
        before = (top.cumsum(1) - top) / top.sum(1, keepdim=True).clamp(min=1e-30)
        return torch.zeros_like(losses, dtype=torch.bool).scatter(1, order, before < self.share) & (losses >= 0)

    def _site(self, leaves: Leaves, cuts: list[Tensor], number: int, asked: Tensor, clock: Clock) -> tuple[Leaves, Tensor]:
        """New intervals of the neurons of one site that are asked for and not settled, as many as there is time for."""
        site, low, high = self.bounds.sites[number], leaves.low[number].clone(), leaves.high[number].clone()
        open_ = site.operation.unsettled(Interval(low, high), *site.constants)[0] & (high > low) & asked
        leaf, column = open_.nonzero(as_tuple=True)
        room = max(16, WORK // (4 * sum(int(torch.Size(n.shape).numel()) for n in self.bounds.graph.varying)))
        size = torch.maximum(low.abs(), high.abs())
        for part in torch.arange(len(leaf), device=leaf.device).split(room):
            rows, at = leaf[part], column[part]
            given = leaves[rows], leaves.bound[rows], [c[rows] for c in cuts], site, at
            if not clock.over:
                low[rows, at] = self._lower(*given, low[rows, at], 1.0)
            if not clock.over:
                high[rows, at] = -self._lower(*given, -high[rows, at], -1.0)
        crossed = low - high > TOLERANCE[low.dtype] * size
        lows, highs = list(leaves.low), list(leaves.high)
        lows[number], highs[number] = torch.minimum(low, high), torch.maximum(low, high)
        return replace(leaves, low=tuple(lows), high=tuple(highs)), crossed.any(1)

    def _lower(
        self, leaves: Leaves, margin: Tensor, cuts: list[Tensor], site: Site, at: Tensor, known: Tensor, sign: float
    ) -> Tensor:
        """The best proven lower values of `sign` times a neuron of each leaf, of which `known` are known."""
        share = leaves.mix / leaves.mix.sum(1, keepdim=True)
        size = (known.abs() / margin.abs().clamp(min=1e-6)).nan_to_num(1.0, 1.0, 1.0).unsqueeze(1)
        self.neurons.aim(site, at, torch.full_like(known, sign), size)
        asked = replace(leaves, bound=known, mix=torch.zeros_like(share))
        scout = self.neurons.scout
        quick, tried, unit = asked.to(scout.rows.dtype), share.to(scout.rows.dtype), size.to(scout.rows.dtype)
        best, mix = scout.evaluate(quick).values, quick.mix
        for scale in self.scales:
            other = tried * unit * scale
            values = scout.evaluate(replace(quick, mix=other)).values
            better = values > best
            best, mix = torch.where(better, values, best), torch.where(better.unsqueeze(1), other, mix)
        found, _ = self.neurons.ascend(replace(asked, mix=mix.to(share)), self.steps, cuts)
        return self._told(found, site, at, sign, known, found.bound)

    def _told(self, found: Leaves, site: Site, at: Tensor, sign: float, known: Tensor, values: Tensor) -> Tensor:
        """The values that stand: all of them here; a search that writes its proof takes what a checker makes of `found`."""
        return values


def _width(leaves: Leaves, number: int) -> Tensor:
    return (leaves.high[number] - leaves.low[number]).sum(1)
