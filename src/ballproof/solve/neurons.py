"""Branch and bound over neurons: a leaf that is not refuted is cut at a neuron, where the relaxation loses most."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace

import torch
from torch import Tensor

from ballproof.bounds.alpha import AlphaPass
from ballproof.bounds.interval import arguments
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import AlphaMethod, LinearMethod
from ballproof.graph import Graph
from ballproof.graph.pooling import without_pooling
from ballproof.graph.prune import without_zeros
from ballproof.operations import Nonlinear
from ballproof.solve.branching import children, chosen, losses
from ballproof.solve.clock import Answer, Clock, Task, margins_at
from ballproof.solve.cuts import Cuts
from ballproof.solve.leaf_bounds import Evaluation, LeafBounds
from ballproof.solve.leaf_lp import decided_by_lp
from ballproof.solve.leaves import Leaves, Site, cut_ends, root, sites_of
from ballproof.solve.marks import joints_of, with_marks
from ballproof.solve.planed import Planed
from ballproof.solve.refinement import Refinement
from ballproof.solve.violated import LEAST_GAIN, Violated, narrowed
from ballproof.values import Interval, Relaxation

CANDIDATES = 4
"""Neurons whose children are bounded before one is chosen (filtered smart branching, De Palma et al. 2021)."""

STEPS_ROOT, STEPS_LEAF, STEPS_LAST, STEPS_PLANES = 40, 4, 100, 200
PLANING = 0.3
"""The share of the time left that planes may climb for."""

COST = 4
"""Leaves that are bounded in the time of one query of the narrowing."""

FIRST, BETWEEN, ROUNDS, NARROWING = 0.1, 0.05, 5, 0.2
"""A search that has taken the first share of its time begins again with narrow intervals for the groups that are open, and has
the next share between two turns of that; the most rounds of narrowing for a group, and its share of the time left."""

REFINING, CUTS, LEAST_SETTLED = (0.1, 0.5), 7, 0.05
"""The shares of the time that is left for searches on single neurons, the cuts for each end that the last one has to be enough
for, and the share of the open neurons that one has to settle for another: in wide convolutions it gains nothing."""

AGE, RENEWING = 3, 0.1
"""Splits after which a leaf's intervals are old, and the share of the time that is left for new ones of a batch."""

LEAST_CLOSED, MOST_PAUSE = 0.1, 64
"""New intervals that close a smaller share of their leaves are left out for the next batches, ever more of them."""

WORK = 2**26
"""Multiplications that one pull-back of a batch should cost at least, as small batches waste a machine."""


EAGER, SELDOM = 30, 10
"""Cuts are learnt from each of the first batches, then from every so many-th."""


class NeuronSplitting:
    """The search on one task. intervals: those that all leaves stand on; None finds some with optimised slopes.

    Without given intervals, the arguments of functions of several numbers are cut too (`solve/marks.py`).
    cuts: whether closed leaves tell the others what they exclude (`solve/cuts.py`). A search that writes its proof down
    (`certificate/by_neurons.py`) overrides `_anew`, `_planed`, `_parted`, `_closed`, `_settled` and `_violated`, and learns no
    cuts.
    """

    refining: tuple[float, ...] = REFINING

    def __init__(self, task: Task, intervals: Mapping[str, Interval] | None = None, cuts: bool = False) -> None:
        self.task, self.intervals = task, intervals
        self.cuts: Cuts | None = None
        self.learning, self.batches = cuts, 0
        self.leaves, self.before, self.exhausted = 0, 0, 0
        self.shares, self.aside = list(self.refining), 0.0
        self.renewing, self.waiting, self.pause = False, 0, 1
        self.wide: tuple[Leaves, Evaluation] | None = None
        self.sites: list[Site] = []
        self.stack: list[tuple[Leaves, Evaluation]] | None = None

    @property
    def open(self) -> int:
        """How many neurons the root leaves open, without marks of large arguments; 0 before the first run."""
        return sum(len(s.places) for s in self.sites if narrowed(s))

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to split."""
        return self.stack is not None and not self.stack

    def run(self, clock: Clock | None = None) -> Answer:
        """Until it is decided or the clock (by default the task's) is over; a further call goes on."""
        self.clock, self.before, self.aside = clock or self.task.clock, self.leaves, 0.0
        with torch.no_grad():
            if self.stack is None and (answer := self._begin()) is not None:
                return answer
            return self._search()

    def _begin(self) -> Answer | None:
        if self.intervals is None:
            self.task = replace(self.task, graph=without_pooling(self.task.graph))
            graph, self.intervals = with_marks(self.task.graph, tight_pass(self.task).intervals)
            self.task = replace(self.task, graph=graph)
        graph, intervals = without_zeros(self.task.graph, self.intervals)
        self.task = replace(self.task, graph=graph)
        return self._started(intervals)

    def _started(self, intervals: Mapping[str, Interval], groups: Tensor | None = None) -> Answer | None:
        """The search on these intervals, from the root of every group, or of these."""
        self.known, task, graph = intervals, self.task, self.task.graph
        rows, offsets, self.names = _by_group(task)
        constants = {k: v.detach() for k, v in graph.constants().items()}
        self.sites = sites_of(graph, intervals, constants)
        lines, joints = lines_of(graph, intervals, constants), joints_of(graph, self.sites, intervals, constants)
        self.bounds = LeafBounds(graph, task.region, self.sites, lines, rows, offsets, quick=True, joints=joints)
        groups = torch.arange(len(rows), device=rows.device) if groups is None else groups
        start = root(self.sites, intervals, groups, offsets)
        start = _first_mix(self.bounds, start, rows.shape[1])
        start = self._anew(start)
        if self.learning and self.sites:
            self.cuts = Cuts(self.sites, rows)
            self.bounds.use(self.cuts)
            start = replace(start, learnt=rows.new_zeros(len(start), self.cuts.capacity))
        self.base, self.roots = start[:1], start
        if not self.sites:
            self.stack = []
            return self._finished(start)
        found = self._bounded(start, STEPS_ROOT)
        if isinstance(found, Answer):
            return found
        found = self._planed(*found)
        if isinstance(found, Answer):
            return found
        self.stack, self.wide = [found] if len(found[0]) else [], found
        return None

    def _planed(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves, Evaluation] | Answer:
        """The roots that stay open with planes above their rectifiers; leaves that come of them use these where they pay."""
        began, clock = self.clock.spent, self.clock.part(PLANING)
        planed = Planed.of(self.bounds, leaves, self.known, clock) if len(leaves) else None
        if planed is None:
            return leaves, seen
        found = self._bounded(leaves, STEPS_PLANES, planed)
        self.aside += self.clock.spent - began
        if not isinstance(found, Answer) and found[0].bound.sum() > (1 - LEAST_GAIN) * leaves.bound.sum():
            self.bounds.stand_on(planed.kept(leaves))
        return found

    def _again(self, stack: list[tuple[Leaves, Evaluation]]) -> Answer | None:
        """Start again with narrower intervals for the groups that are open: those of the whole region in turns with the search,
        then those of each group."""
        groups = torch.cat([x.group for x, _ in stack]).unique()
        if len(self.shares) == len(self.refining) and self.open * 2 * CUTS > self._affordable(self.refining[-1]):
            self.shares.clear()
        if self.shares:
            before, answer = self.open, self._started(self._refined(self.clock.part(self.shares.pop(0))), groups)
            if self.open > (1 - LEAST_SETTLED) * before:
                self.shares.clear()
            return answer
        assert self.wide is not None
        (leaves, seen), self.wide = self.wide, None
        open_ = torch.isin(leaves.group, groups).nonzero().flatten()
        if len(open_) * 2 * self.open * COST > self._affordable(NARROWING):
            return None
        self.renewing = True
        found = self._narrowed(self._anew(leaves[open_]), seen[open_])
        if isinstance(found, Answer):
            return found
        self.stack = [found] if len(found[0]) else []
        self.roots = Leaves.joined([self.roots[(~torch.isin(self.roots.group, found[0].group)).nonzero().flatten()], found[0]])
        return None

    def _affordable(self, share: float) -> float:
        """Leaves that can be bounded in this share of the time that is left."""
        return share * self.clock.left * (self.leaves - self.before) / (self.clock.spent - self.aside)

    def _refined(self, clock: Clock) -> dict[str, Interval]:
        """The intervals of the whole region, narrower."""
        found = Refinement(self.task.graph, self.task.region, self.known, lines_of).run(clock)
        graph, found = without_zeros(self.task.graph, found)
        self.task = replace(self.task, graph=graph)
        return found

    def _narrowed(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves, Evaluation] | Answer:
        """The leaves with the intervals of where they violate the property, as long as that pays."""
        clock, violated = self.clock.part(NARROWING), self._violated(thorough=True)
        for _ in range(ROUNDS):
            if not len(leaves) or clock.over:
                break
            lost, _ = losses(self.sites, leaves, seen)
            leaves, empty, gain = violated.run(leaves, lost, self._cuts(leaves), clock)
            found = self._bounded(leaves[(~empty).nonzero().flatten()], STEPS_ROOT)
            if isinstance(found, Answer):
                return found
            leaves, seen = found
            if gain < LEAST_GAIN:
                break
        return self._planed(leaves, seen)

    def _search(self) -> Answer:
        turn = self.clock.part(FIRST)
        while self.stack and not self.clock.over:
            if not (turn.over and self.wide is not None):
                answer = self._step(self.stack)
            else:
                aside, began = self.aside, self.clock.spent
                answer = self._again(self.stack)
                self.aside = aside + self.clock.spent - began
                turn = self.clock.part(BETWEEN) if self.shares else turn
            if answer is not None:
                return answer
        if self.stack:
            return self._unfinished(self.stack)
        if self.exhausted:
            reason = f"{self.exhausted} leaves without a neuron to split stay open (rounding)"
            return Answer(False, reason=reason, leaves=self.leaves, final=True)
        return Answer(True, bound=0.0, leaves=self.leaves)

    def _step(self, stack: list[tuple[Leaves, Evaluation]]) -> Answer | None:
        """Some leaves are taken from the stack, and their open children put there."""
        leaves, seen = self._popped(stack)
        pairs, whole = self._split(leaves, seen)
        if len(whole) and isinstance(answer := self._finished(leaves[whole]), Answer):
            return answer
        if pairs is None:
            return None
        found = self._bounded(pairs, STEPS_LEAF)
        found = found if isinstance(found, Answer) else self._renewed(*found)
        if isinstance(found, Answer):
            return found
        if len(found[0]):
            stack.append(found)
        return None

    def _unfinished(self, stack: list[tuple[Leaves, Evaluation]]) -> Answer:
        bound = min(float(x.bound.min()) for x, _ in stack)
        count = sum(len(x) for x, _ in stack)
        reason = f"time: {count} leaves of {self.leaves} are open, the worst margin proven is {bound:.4g}"
        return Answer(False, reason=reason, bound=bound, leaves=self.leaves)

    def _renewed(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves, Evaluation] | Answer:
        """Leaves whose intervals are old get new ones, unless that closed too few of the last ones."""
        old = leaves.age >= AGE
        if not self.renewing or not bool(old.any()):
            return leaves, seen
        if self.waiting > 0:
            self.waiting -= 1
            return leaves, seen
        aged, young = old.nonzero().flatten(), (~old).nonzero().flatten()
        lost, _ = losses(self.sites, leaves[aged], seen[aged])
        clock = self.clock.part(RENEWING)
        new, empty, _ = self._violated(thorough=False).run(leaves[aged], lost, self._cuts(leaves[aged]), clock)
        new = replace(new, age=torch.zeros_like(new.age))[(~empty).nonzero().flatten()]
        found = self._bounded(new, 2 * STEPS_LEAF) if len(new) else (new, seen[young[:0]])
        if isinstance(found, Answer):
            return found
        poor = len(found[0]) > (1 - LEAST_CLOSED) * len(aged)
        self.pause = min(2 * self.pause, MOST_PAUSE) if poor else 1
        self.waiting = self.pause if poor else 0
        return Leaves.joined([leaves[young], found[0]]), Evaluation.joined([seen[young], found[1]])

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
                stack.append((leaves[: len(leaves) - room], at[: len(leaves) - room]))
                leaves, at = leaves[len(leaves) - room :], at[len(leaves) - room :]
            parts.append(leaves)
            seen.append(at)
            room -= len(leaves)
        return Leaves.joined(parts), Evaluation.joined(seen)

    def _bounded(self, leaves: Leaves, steps: int, bounds: LeafBounds | None = None) -> tuple[Leaves, Evaluation] | Answer:
        """The leaves that stay open, with tighter bounds; or a counterexample that one of them points to."""
        self.leaves += len(leaves)
        leaves, seen = (bounds or self.bounds).ascend(leaves, steps, self._cuts(leaves))
        leaves, closed = self._closed(leaves)
        keep = (~closed).nonzero().flatten()
        assert seen.points is not None
        if self.cuts is not None and steps == STEPS_LEAF:
            self._learn(leaves[closed.nonzero().flatten()])
        if len(keep):
            points = seen.points[keep]
            bad = (margins_at(self.task, points) <= 0).nonzero().flatten()
            if len(bad) and (found := self.task.confirm(points[bad[:16]])) is not None:
                return Answer(False, counterexample=found, leaves=self.leaves)
        return leaves[keep], seen[keep]

    def _learn(self, closed: Leaves) -> None:
        """Cuts of leaves that are closed: of every batch at first, then of some."""
        self.batches += 1
        if self.cuts is None or not len(closed) or (self.batches > EAGER and self.batches % SELDOM):
            return
        order = self.roots.group.argsort()
        place = torch.searchsorted(self.roots.group[order], closed.group)
        self.cuts.learn(self.bounds, closed, self.roots[order[place]])

    def _cuts(self, leaves: Leaves) -> list[Tensor]:
        """Which intervals a split has cut, or narrowing."""
        return cut_ends(leaves, self.base)

    def _finished(self, leaves: Leaves) -> Answer | None:
        """Leaves without an open neuron: their multipliers taken to the end, then a linear program for each."""
        leaves, seen = self.bounds.ascend(leaves, STEPS_LAST, self._cuts(leaves))
        leaves, closed = self._closed(leaves)
        for i in (~closed).nonzero().flatten().tolist():
            leaf = leaves[i : i + 1]
            value, point = decided_by_lp(self.bounds, leaf, self._cuts(leaf))
            assert seen.points is not None
            points = [seen.points[i], *([point] if point is not None else [])]
            if (found := self.task.confirm(torch.stack(points))) is not None:
                return Answer(False, counterexample=found, leaves=self.leaves)
            if not value > 0 or not self._settled(leaf):
                self.exhausted += 1
        return None

    def tightened(self, leaves: Leaves, steps: int) -> Leaves:
        """The leaves with slopes, multipliers and mixes that prove as much as these steps give, not what is just enough."""
        high = replace(leaves, bound=torch.full_like(leaves.bound, -torch.inf))
        bounds = copy(self.bounds)
        bounds.offsets = self.bounds.offsets - leaves.bound.abs().amax() - 1e6
        return bounds.ascend(high, steps, self._cuts(leaves))[0]

    def weights(self, leaves: Leaves, normal: bool = True) -> list[list[float]]:
        """The weights of the rows of each leaf's group, without those that pad it; normal: with a sum of 1."""
        sizes = [self.task.property.groups.count(self.names[g]) for g in leaves.group.tolist()]
        shares = (leaves.mix / leaves.mix.sum(1, keepdim=True) if normal else leaves.mix).tolist()
        return [[share[0] + sum(share[n:]), *share[1:n]] for share, n in zip(shares, sizes, strict=True)]

    def _split(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves | None, Tensor]:
        """Both children of every leaf at the most promising of some candidates; and the leaves that have none left."""
        left, whole, choice, points = chosen(self.bounds, leaves, seen, CANDIDATES)
        if not len(left):
            return None, whole
        return self._parted(children(self.sites, leaves[left], choice, points), choice), whole

    def _anew(self, leaves: Leaves) -> Leaves:
        """Leaves that are the whole region, each for a group; what was known of these groups is dropped."""
        return leaves

    def _parted(self, pairs: Leaves, choice: Tensor) -> Leaves:
        """Both children of some leaves at these neurons, counted over all sites."""
        return pairs

    def _closed(self, leaves: Leaves) -> tuple[Leaves, Tensor]:
        """The leaves, and which of them are proven."""
        return leaves, leaves.bound > 0

    def _settled(self, leaf: Leaves) -> bool:
        """Whether a leaf that a linear program refutes is proven."""
        return True

    def _violated(self, thorough: bool) -> Violated:
        return Violated(self.bounds, thorough)


def tight_pass(task: Task) -> LinearPass:
    """Intervals with optimised slopes for every neuron that is not settled."""
    return AlphaPass(crown_pass(task), AlphaMethod()).run()


def lines_of(graph: Graph, intervals: Mapping[str, Interval], constants: Mapping[str, Tensor]) -> dict[str, Relaxation]:
    """Of least area, by nonlinear node."""
    bends = [(n, n.operation) for n in graph.varying if isinstance(n.operation, Nonlinear)]
    return {n.name: f.relax(*arguments(graph, n, intervals, constants), slope="adaptive") for n, f in bends}


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
