"""Branch and bound over neurons: a leaf that is not refuted is cut at a neuron, where the relaxation loses most."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ballproof.bounds.alpha import AlphaPass
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import AlphaMethod, LinearMethod
from ballproof.solve.clock import Answer, Clock, Task, margins_at
from ballproof.solve.leaf_bounds import Evaluation, LeafBounds
from ballproof.solve.leaf_lp import decided_by_lp
from ballproof.solve.leaves import Leaves, Site, root, sites_of
from ballproof.solve.refresh import Refresh
from ballproof.values import Interval

CANDIDATES = 4
"""Neurons whose children are bounded before one is chosen (filtered smart branching, De Palma et al. 2021)."""

REFRESH = False
STEPS_ROOT, STEPS_LEAF, STEPS_LAST = 40, 4, 100
WORK = 2**26
"""Multiplications that one pull-back of a batch should cost at least, as small batches waste a machine."""


class NeuronSplitting:
    """The search on one task. state: a pass whose intervals all leaves stand on; None makes one with optimised slopes."""

    def __init__(self, task: Task, state: LinearPass | None = None) -> None:
        self.task, self.state = task, state
        self.leaves, self.exhausted = 0, 0
        self.sites: list[Site] = []
        self.stack: list[tuple[Leaves, Evaluation]] | None = None

    @property
    def open(self) -> int:
        """How many neurons the root leaves open; 0 before the first run."""
        return sum(len(s.places) for s in self.sites)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to split."""
        return self.stack is not None and not self.stack

    def run(self, clock: Clock | None = None) -> Answer:
        """Until it is decided or the clock (by default the task's) is over; a further call goes on."""
        self.clock = clock or self.task.clock
        with torch.no_grad():
            if self.stack is None and (answer := self._begin()) is not None:
                return answer
            return self._search()

    def _begin(self) -> Answer | None:
        task = self.task
        state = self.state or tight_pass(task)
        rows, offsets, self.names = _by_group(task)
        constants = state.constants
        self.sites = sites_of(task.graph, state.intervals, constants)
        self.bounds = LeafBounds(task.graph, task.region, self.sites, state.relaxations, rows, offsets)
        start = root(self.sites, state.intervals, torch.arange(len(rows)), rows.shape[1])
        start = _first_mix(self.bounds, start, rows.shape[1])
        self.base = start[:1]
        self.root_intervals = state.intervals
        if not self.sites:
            self.stack = []
            return self._finished(start)
        found = self._bounded(start, STEPS_ROOT)
        if isinstance(found, Answer):
            return found
        self.stack = [found] if len(found[0]) else []
        return None

    def _search(self) -> Answer:
        stack = self.stack
        assert stack is not None
        while stack:
            if self.clock.over:
                return self._unfinished(stack)
            leaves, seen = self._popped(stack)
            children, whole = self._split(leaves, seen)
            if len(whole) and isinstance(answer := self._finished(leaves[whole]), Answer):
                return answer
            if children is None or not len(children):
                continue
            children = self._refreshed(children)
            if not len(children):
                continue
            found = self._bounded(children, STEPS_LEAF)
            if isinstance(found, Answer):
                return found
            if len(found[0]):
                stack.append(found)
        if self.exhausted:
            reason = f"{self.exhausted} leaves without a neuron to split stay open (rounding, or max pooling)"
            return Answer(False, reason=reason, leaves=self.leaves, final=True)
        return Answer(True, bound=0.0, leaves=self.leaves)

    def _unfinished(self, stack: list[tuple[Leaves, Evaluation]]) -> Answer:
        bound = min(float(x.bound.min()) for x, _ in stack)
        count = sum(len(x) for x, _ in stack)
        reason = f"time: {count} leaves of {self.leaves} are open, the worst margin proven is {bound:.4g}"
        return Answer(False, reason=reason, bound=bound, leaves=self.leaves)

    def _size(self) -> int:
        """Leaves that are bounded together."""
        work = sum(v.numel() for v in self.bounds.constants.values()) + sum(
            int(torch.Size(n.shape).numel()) for n in self.task.graph.varying
        )
        return max(8, min(512, WORK // max(work, 1)))

    def _popped(self, stack: list[tuple[Leaves, Evaluation]]) -> tuple[Leaves, Evaluation]:
        room, parts, seen = self._size() // 2, [], []
        while stack and room > 0:
            leaves, at = stack.pop()
            if len(leaves) > room:
                stack.append((leaves[: len(leaves) - room], _part(at, slice(0, len(leaves) - room))))
                leaves, at = leaves[len(leaves) - room :], _part(at, slice(len(leaves) - room, None))
            parts.append(leaves)
            seen.append(at)
            room -= len(leaves)
        known = [torch.cat(x) for x in zip(*(s.at for s in seen), strict=True)]
        return Leaves.joined(parts), Evaluation(torch.cat([s.values for s in seen]), known)

    def _bounded(self, leaves: Leaves, steps: int) -> tuple[Leaves, Evaluation] | Answer:
        """The leaves that stay open, with tighter bounds; or a counterexample that one of them points to."""
        self.leaves += len(leaves)
        leaves, seen = self.bounds.ascend(leaves, steps, self._cuts(leaves))
        keep = (~(leaves.bound > 0)).nonzero().flatten()
        assert seen.points is not None
        if len(keep):
            points = seen.points[keep]
            bad = (margins_at(self.task, points) <= 0).nonzero().flatten()
            if len(bad) and (found := self.task.confirm(points[bad[:16]])) is not None:
                return Answer(False, counterexample=found, leaves=self.leaves)
        return leaves[keep], _part(seen, keep)

    def _refreshed(self, children: Leaves) -> Leaves:
        """The children with new intervals behind their split, without those that hold no input."""
        if not REFRESH:
            return children
        known = {s.argument: self.root_intervals[s.argument] for s in self.sites}
        found, empty = Refresh(self.task.graph, self.task.region, self.sites, known, children, self.first).run()
        return found[(~empty).nonzero().flatten()]

    def _cuts(self, leaves: Leaves) -> list[Tensor]:
        """Which intervals a split has cut."""
        pairs = zip(leaves.low, leaves.high, self.base.low, self.base.high, strict=True)
        return [(a != c) | (b != d) for a, b, c, d in pairs]

    def _finished(self, leaves: Leaves) -> Answer | None:
        """Leaves without an open neuron: their multipliers taken to the end, then a linear program for each."""
        leaves, seen = self.bounds.ascend(leaves, STEPS_LAST, self._cuts(leaves))
        for i in (~(leaves.bound > 0)).nonzero().flatten().tolist():
            leaf = leaves[i : i + 1]
            value, point = decided_by_lp(self.bounds, leaf, self._cuts(leaf))
            assert seen.points is not None
            points = [seen.points[i], *([point] if point is not None else [])]
            if (found := self.task.confirm(torch.stack(points))) is not None:
                return Answer(False, counterexample=found, leaves=self.leaves)
            if not value > 0:
                self.exhausted += 1
        return None

    def _split(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves | None, Tensor]:
        """Both children of every leaf at the most promising of some candidates; and the leaves that have none left."""
        scores, points = self._scores(leaves, seen)
        count = min(CANDIDATES, scores.shape[1])
        values, choice = scores.topk(count, 1)
        left, whole = (values[:, 0] > 0).nonzero().flatten(), (~(values[:, 0] > 0)).nonzero().flatten()
        if not len(left):
            return None, whole
        leaves, choice, values = leaves[left], choice[left], values[left]
        at = points[left].gather(1, choice)
        best_gain = torch.full_like(leaves.bound, -torch.inf)
        best = choice[:, 0].clone()
        if count > 1:
            for k in range(count):
                pair = self.children(leaves, choice[:, k], at[:, k])
                found = self.bounds.evaluate(pair).values.reshape(2, -1)
                found = torch.maximum(found, leaves.bound)
                gain = found.amin(0) + 1e-3 * found.amax(0).clamp(max=0)
                gain = gain.masked_fill(values[:, k] <= 0, -torch.inf)
                better = gain > best_gain
                best_gain, best = torch.where(better, gain, best_gain), torch.where(better, choice[:, k], best)
        return self.children(leaves, best, points[left].gather(1, best.unsqueeze(1)).squeeze(1)), whole

    def _scores(self, leaves: Leaves, seen: Evaluation) -> tuple[Tensor, Tensor]:
        """How much the relaxation loses at each neuron, all sites in one row, and the place where it would be cut."""
        scores, points = [], []
        for site, low, high, free, at in zip(self.sites, leaves.low, leaves.high, leaves.free, seen.at, strict=True):
            score, point = loss_at(site, Interval(low, high), free, at)
            scores.append(score)
            points.append(point)
        return torch.cat(scores, 1), torch.cat(points, 1)

    def children(self, leaves: Leaves, choice: Tensor, point: Tensor) -> Leaves:
        """Below and above the point of the chosen neuron, first all lower children."""
        low, high, start = [list(leaves.low), list(leaves.low)], [list(leaves.high), list(leaves.high)], 0
        self.first = len(self.sites)
        for i, site in enumerate(self.sites):
            own = choice - start
            mine = (own >= 0) & (own < len(site.places))
            start += len(site.places)
            if not bool(mine.any()):
                continue
            self.first = min(self.first, i)
            rows, columns = mine.nonzero().flatten(), own[mine]
            high[0][i] = leaves.high[i].clone()
            high[0][i][rows, columns] = point[mine]
            low[1][i] = leaves.low[i].clone()
            low[1][i][rows, columns] = point[mine]
        parts = [replace(leaves, low=tuple(a), high=tuple(b)) for a, b in zip(low, high, strict=True)]
        return Leaves.joined(parts)


def loss_at(site: Site, x: Interval, free: tuple[Tensor, ...], at: Tensor) -> tuple[Tensor, Tensor]:
    """What the line in use loses at the place of the cut and at the better end, times the cotangent; and that place."""
    point = branch_point(site, x)
    lines = site.operation.relax(x, *site.constants, slope=free)
    line = [
        torch.where(at >= 0, a, b)
        for a, b in zip((*lines.lower.slopes, lines.lower.offset), (*lines.upper.slopes, lines.upper.offset), strict=True)
    ]
    gap = [(site.operation.forward(p, *site.constants) - line[0] * p - line[1]).abs() for p in (point, x.lower, x.upper)]
    score = at.abs() * (gap[0] + torch.minimum(gap[1], gap[2]))
    inside = (point > x.lower) & (point < x.upper) & site.operation.unsettled(x, *site.constants)[0]
    return score.masked_fill(~inside, -1.0).clamp(max=1e30) + inside * 1e-12, point


def branch_point(site: Site, x: Interval) -> Tensor:
    """The first break inside the interval, else its middle."""
    point = x.center
    for place, _ in reversed(site.operation.breaks):
        inside = (x.lower < place) & (x.upper > place)
        point = torch.where(inside, torch.full_like(point, place), point)
    return point


def tight_pass(task: Task) -> LinearPass:
    """Intervals with optimised slopes for every neuron that is not settled."""
    state = AlphaPass(task.graph, task.region, AlphaMethod(intermediate="same", steps=5), Budget())
    state.run()
    return state


def crown_pass(task: Task) -> LinearPass:
    """Intervals by lines of least area."""
    return LinearPass(task.graph, task.region, LinearMethod("adaptive"), Budget()).run()


def _by_group(task: Task) -> tuple[Tensor, Tensor, list[int]]:
    """The rows of each group, padded with the group's first row: `(groups, rows, *output)`, `(groups, rows)`."""
    asked, names = task.property, list(dict.fromkeys(task.property.groups))
    members = [[i for i, g in enumerate(asked.groups) if g == name] for name in names]
    most = max(len(m) for m in members)
    index = torch.tensor([m + [m[0]] * (most - len(m)) for m in members])
    dtype = task.region.dtype
    return asked.coefficients[0].to(dtype)[index], asked.offsets[0].to(dtype)[index], names


def _first_mix(bounds: LeafBounds, leaves: Leaves, rows: int) -> Leaves:
    """Each group starts with the row that the lines of least area refute best."""
    if rows == 1:
        return leaves
    found = []
    for row in range(rows):
        mix = torch.zeros_like(leaves.mix)
        mix[:, row] = 1.0
        found.append(bounds.evaluate(replace(leaves, mix=mix)).values)
    best = torch.stack(found, 1).argmax(1, keepdim=True)
    mix = torch.full_like(leaves.mix, 0.02).scatter(1, best, 1.0)
    return replace(leaves, mix=mix)


def _part(seen: Evaluation, index: Tensor | slice) -> Evaluation:
    points = None if seen.points is None else seen.points[index]
    return Evaluation(seen.values[index], [a[index] for a in seen.at], points)
