"""Cuts learnt from closed leaves: no violation has these phases of rectifiers together (BICCOS, Zhou et al. 2024).

A rectifier's phase p is 1 where its argument is above 0 and 0 below, either at 0. A closed leaf with the rectifiers P on and
the rectifiers Q off holds no violation, so everywhere else `sum of P's phases - sum of Q's phases <= |P| - 1` where there is
one. In other leaves a multiplier on that inequality gives a weight to each phase (`leaf_backward.phased`). A shorter
conjunction excludes more, so the rectifiers that weigh least are set free again while the rest still proves as much.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ballproof.operations.relu import Relu
from ballproof.solve.leaf_bounds import LeafBounds
from ballproof.solve.leaves import Leaves, Site

CAPACITY = 32
"""Cuts held at once; the longest one leaves for a shorter one."""

PARENTS, ROUNDS, STEPS = 8, 4, 8
"""Closed leaves of a batch that are learnt from, the attempts to shorten each, and the steps of ascent of an attempt."""


class Cuts:
    """Up to so many cuts, each of one group of the property."""

    def __init__(self, sites: list[Site], like: Tensor, capacity: int = CAPACITY) -> None:
        self.sites, self.learnt = sites, 0
        self.group = torch.full((capacity,), -1, device=like.device)
        self.signs = tuple(like.new_zeros(capacity, len(s.places)) for s in sites)
        self.ends = like.new_zeros(capacity)

    @property
    def capacity(self) -> int:
        return len(self.group)

    @property
    def sizes(self) -> Tensor:
        """How many rectifiers each cut names; 0 of an empty place."""
        return sum((s.abs().sum(1) for s in self.signs), torch.zeros_like(self.ends))

    def weights(self, leaves: Leaves) -> tuple[list[Tensor], Tensor]:
        """Of the phases at each site, `(leaves, neurons)`, and what all multipliers cost, `(leaves,)`."""
        held = leaves.learnt * (self.group == leaves.group.unsqueeze(1))
        return [held @ s.to(held.dtype) for s in self.signs], held @ self.ends.to(held.dtype)

    def learn(self, bounds: LeafBounds, closed: Leaves, roots: Leaves) -> None:
        """Cuts of the closed leaves that have the fewest rectifiers fixed. roots: of the same groups, one for each leaf."""
        count = sum(m.sum(1) for pair in self._fixed(closed, roots) for m in pair)
        assert isinstance(count, Tensor)
        first = count.argsort()[:PARENTS]
        leaves, roots = closed[first], roots[first]
        fixed = self._fixed(leaves, roots)
        kept, share = self._proven(bounds, leaves, roots, fixed), 0.5
        for _ in range(ROUNDS):
            shorter = self._dropped(bounds, leaves, roots, fixed, share)
            shown = self._proven(bounds, leaves, roots, shorter) & kept
            fixed = [_chosen(shown, new, old) for new, old in zip(shorter, fixed, strict=True)]
            share = share if bool(shown.any()) else share / 2
        for leaf in kept.nonzero().flatten().tolist():
            self._add(int(leaves.group[leaf]), [on[leaf].to(self.ends) - off[leaf].to(self.ends) for on, off in fixed])

    def _fixed(self, leaves: Leaves, roots: Leaves) -> list[tuple[Tensor, Tensor]]:
        """By site, which rectifiers the leaves hold on and off and the roots do not."""
        found = []
        for site, low, high, a, b in zip(self.sites, leaves.low, leaves.high, roots.low, roots.high, strict=True):
            open_ = (a < 0) & (b > 0) & isinstance(site.operation, Relu)
            found.append(((low >= 0) & open_, (high <= 0) & (low < 0) & open_))
        return found

    def _conjunction(self, leaves: Leaves, roots: Leaves, fixed: list[tuple[Tensor, Tensor]]) -> Leaves:
        """The roots with these rectifiers fixed, and the leaves' parameters."""
        low = tuple(a.masked_fill(on, 0.0) for a, (on, _) in zip(roots.low, fixed, strict=True))
        high = tuple(b.masked_fill(off, 0.0) for b, (_, off) in zip(roots.high, fixed, strict=True))
        beta = tuple(b.masked_fill(~(on | off), 0.0) for b, (on, off) in zip(leaves.beta, fixed, strict=True))
        return replace(leaves, low=low, high=high, beta=beta, bound=torch.full_like(leaves.bound, -torch.inf))

    def _proven(self, bounds: LeafBounds, leaves: Leaves, roots: Leaves, fixed: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Whether the conjunctions hold no violation."""
        asked = self._conjunction(leaves, roots, fixed)
        return bounds.ascend(asked, STEPS, [on | off for on, off in fixed])[0].bound > 0

    def _dropped(
        self, bounds: LeafBounds, leaves: Leaves, roots: Leaves, fixed: list[tuple[Tensor, Tensor]], share: float
    ) -> list[tuple[Tensor, Tensor]]:
        """The conjunctions without this share of their rectifiers, those that weigh least."""
        asked = self._conjunction(leaves, roots, fixed)
        seen = bounds.evaluate(asked, details=True)
        named = torch.cat([on | off for on, off in fixed], 1)
        reach = [-a * b / (b - a).clamp(min=1e-30) for a, b in zip(roots.low, roots.high, strict=True)]
        weigh = torch.cat([(at.abs() + beta.abs()) * r for at, beta, r in zip(seen.at, asked.beta, reach, strict=True)], 1)
        order = weigh.masked_fill(~named, torch.inf).argsort(1).argsort(1)
        gone = order < (named.sum(1, keepdim=True) * share).ceil()
        parts = gone.split([len(s.places) for s in self.sites], 1)
        return [(on & ~g, off & ~g) for (on, off), g in zip(fixed, parts, strict=True)]

    def _add(self, group: int, signs: list[Tensor]) -> None:
        """At an empty place or that of the longest cut, if it is shorter; nothing twice."""
        size, sizes = sum(int(s.abs().sum()) for s in signs), self.sizes
        same = self.group == group
        for mine, new in zip(self.signs, signs, strict=True):
            same &= (mine == new).all(1)
        empty = (self.group < 0).nonzero().flatten()
        place = int(empty[0]) if len(empty) else int(sizes.argmax())
        if bool(same.any()) or (not len(empty) and size >= int(sizes[place])):
            return
        self.group[place], self.learnt = group, self.learnt + 1
        for mine, new in zip(self.signs, signs, strict=True):
            mine[place] = new
        self.ends[place] = sum(float((s > 0).sum()) for s in signs) - 1


def _chosen(mask: Tensor, new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The new ones of the leaves in the mask, the old ones of the others."""
    wide = mask.unsqueeze(1)
    return torch.where(wide, new[0], old[0]), torch.where(wide, new[1], old[1])
