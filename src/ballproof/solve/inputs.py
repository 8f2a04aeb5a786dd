"""Splitting the input: many small boxes at a time, bounded by lines, clipped by them and halved until all are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.bounds.alpha import of_examples, optimised
from ballproof.bounds.interval import step
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import AlphaMethod, LinearMethod
from ballproof.graph import Graph
from ballproof.operations import Nonlinear
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.problems import Box
from ballproof.solve.clock import Answer, Clock, Task
from ballproof.solve.falsify import Walk, falsify
from ballproof.solve.mixing import by_planes, by_points
from ballproof.solve.trials import Trial
from ballproof.values import Interval

NARROWEST_BATCH, WIDEST_BATCH = 64, 4096
"""Boxes that are bounded together: enough to keep the cores busy, few enough that the clock is looked at often."""

ROUND = 0.2, 0.5
"""Seconds of a round below which the next one takes twice as many boxes, and above which it takes half."""

FEWEST = 64
"""With fewer boxes than this at hand each is cut more than once, so that none of the first rounds is wasted."""

WALKERS = 32
"""Boxes of each round in which a counterexample is walked for."""

SHORT = Walk(1, 16, 0.2, 0.7)

FLOOR = 0.1
"""Of the largest weight of an input, the least that any input has when a box is cut: what lines lose does not show in their
slopes. Against 0.001 the 68 proofs of ACAS Xu take half as many boxes."""

FLOOR_CURVED = 1.0
"""The same where products or squares lose by their curvature alone: of the Lyapunov networks of lsnc_2024 those that take more
than 20,000 boxes take a third fewer than with 0.1."""

ROUNDS = 2
"""How often the lines clip a box; what a further round gains is hardly ever worth it."""

SLOPES = AlphaMethod(steps=6, stop=0.0)
"""Of boxes that stay open in a long search. Where the worst margin is taken on a whole surface of kinks, lines of least area
leave open all boxes that meet it, however small they are; the right slopes close them."""

LATE = 1024
"""Boxes of a search after which slopes are optimised for those that stay open."""

LEAST_SLOPED, LEAST_MIXED, MOST_PAUSE = 0.9, 0.1, 256
"""Optimised slopes, and mixtures of rows, that close a smaller share of the boxes that are left open without them are not
tried in the next rounds, up to so many. Slopes cost six times a round: where they close 7 in 10, halving is still cheaper."""


class BoxPass(LinearPass):
    """Lines on many boxes, each within a box whose intervals are known: what is settled there is settled here."""

    def __init__(self, graph: Graph, box: Box, known: dict[str, Interval]) -> None:
        super().__init__(graph, box, LinearMethod("adaptive"), Budget())
        self.known = known

    def run(self) -> BoxPass:
        for node in self.graph.varying:
            if isinstance(node.operation, Nonlinear):
                self._relax(node, node.operation)
            found = step(self.graph, node, self.intervals, self.constants)
            known = self.known.get(node.name)
            self.intervals[node.name] = found if known is None else found.intersect(known, node.name)
        return self


@dataclass
class Boxes:
    """Boxes to be decided, `(n, inputs)`, with the intervals of inner nodes that their parents left.

    worst: the worst margin proven, `(n,)`. open: which groups of the property are, `(n, groups)`. mix: two mixtures of each
    group's rows, `(n, 2, rows)`, with a sum of 1 in each group.
    """

    lower: Tensor
    upper: Tensor
    known: dict[str, Interval]
    worst: Tensor
    open: Tensor
    mix: Tensor

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index: Tensor | slice) -> Boxes:
        known = {k: v[index] for k, v in self.known.items()}
        return Boxes(self.lower[index], self.upper[index], known, self.worst[index], self.open[index], self.mix[index])

    @staticmethod
    def joined(parts: list[Boxes]) -> Boxes:
        known = {
            k: Interval(torch.cat([p.known[k].lower for p in parts]), torch.cat([p.known[k].upper for p in parts]))
            for k in parts[0].known
        }
        cat = lambda name: torch.cat([getattr(p, name) for p in parts])  # noqa: E731
        return Boxes(cat("lower"), cat("upper"), known, cat("worst"), cat("open"), cat("mix"))


@dataclass
class Planes:
    """For each box and query `slope · x + offset <= query(x)`, and its least value there. groups: of each query, `(query,)`."""

    slope: Tensor
    offset: Tensor
    least: Tensor
    groups: Tensor

    def __getitem__(self, index: Tensor) -> Planes:
        """Those of some boxes."""
        return Planes(self.slope[index], self.offset[index], self.least[index], self.groups)


@dataclass(frozen=True, eq=False)
class Queries:
    """What is asked of boxes: of `rows (boxes or 1, rows, *output)`, query k is row `at[k]` plus `offsets (boxes or 1, query)`.

    groups: of each query. asked: the rows of the property that come first; the mixtures are behind them.
    """

    rows: Tensor
    at: Tensor
    offsets: Tensor
    groups: Tensor
    asked: Tensor


class InputSplitting:
    """The search on one task whose region is a box."""

    def __init__(self, task: Task) -> None:
        self.task, self.graph = task, task.graph
        self.property = task.property
        self.rows, self.row = task.property.coefficients[0].to(task.region.dtype).unique(dim=0, return_inverse=True)
        names = list(dict.fromkeys(task.property.groups))
        self.groups = torch.tensor([names.index(g) for g in task.property.groups], device=self.rows.device)
        self.kept = [i for n in self.graph.varying if isinstance(n.operation, Nonlinear) for i in n.inputs]
        self.kept = [k for k in dict.fromkeys(self.kept) if self.graph.node[k].varies and k != self.graph.input]
        self.leaves, self.size = 0, 4 * NARROWEST_BATCH
        self.sloping, self.mixing = Trial(LEAST_SLOPED, MOST_PAUSE), Trial(LEAST_MIXED, MOST_PAUSE, waiting=3)
        self.floor = FLOOR_CURVED if any(isinstance(n.operation, (Power, Product)) for n in self.graph.varying) else FLOOR
        box = task.region.box()
        worst = torch.full((box.lower.shape[0],), -torch.inf, dtype=box.lower.dtype)
        every = torch.ones(len(worst), len(names), dtype=torch.bool, device=worst.device)
        sizes = self.groups.bincount()
        self.together = sizes > 1
        mix = (1.0 / sizes.to(worst.dtype))[self.groups].expand(len(worst), 2, -1)
        self.stack = [Boxes(box.lower.flatten(1), box.upper.flatten(1), {}, worst, every, mix)]

    def run(self, clock: Clock | None = None) -> Answer:
        """Until it is decided or the clock (by default the task's) is over; a further call goes on."""
        clock, stack = clock or self.task.clock, self.stack
        with torch.no_grad():
            while stack:
                if clock.over:
                    return self._unfinished(stack)
                start = clock.spent
                boxes = _popped(stack, self.size)
                self.leaves, full = self.leaves + len(boxes), len(boxes) == self.size
                boxes, planes = self._bounded(boxes)
                self._paced(clock.spent - start, full)
                if not len(boxes):
                    continue
                if (found := self._searched(boxes, planes)) is not None:
                    return Answer(False, counterexample=found, leaves=self.leaves)
                boxes, planes = self._clipped(boxes, planes)
                if len(boxes):
                    stack.append(self._split(boxes, planes))
        return Answer(True, bound=0.0, leaves=self.leaves)

    def _paced(self, seconds: float, full: bool) -> None:
        """The next round's boxes, by what this one's took."""
        if seconds > ROUND[1]:
            self.size = max(NARROWEST_BATCH, self.size // 2)
        elif seconds < ROUND[0] and full:
            self.size = min(WIDEST_BATCH, 2 * self.size)

    def _unfinished(self, stack: list[Boxes]) -> Answer:
        bound = min(float(b.worst.min()) for b in stack)
        count = sum(len(b) for b in stack)
        reason = f"time: {count} boxes of {self.leaves} are open, the worst margin proven is {bound:.4g}"
        return Answer(False, reason=reason, bound=bound, leaves=self.leaves)

    def _bounded(self, boxes: Boxes) -> tuple[Boxes, Planes]:
        """The boxes that stay open, with intervals and planes of their own for the groups that are open in some of them."""
        shape = self.graph.input_shape
        box = Box(boxes.lower.reshape(-1, *shape), boxes.upper.reshape(-1, *shape))
        state = BoxPass(self.graph, box, boxes.known).run()
        queries = self._queries(boxes, self.mixing.due())
        planes = self._planes(boxes, state, queries)
        planes.least = _least(planes, boxes.lower, boxes.upper)
        best = self._sloped(boxes, state, queries, self._best(boxes, planes, len(queries.asked)))
        open_ = boxes.open & ~(best > 0)
        worst = best.masked_fill(~open_, torch.inf).amin(1)
        keep = open_.any(1).nonzero().flatten()
        boxes = Boxes(boxes.lower, boxes.upper, {k: state.intervals[k] for k in self.kept}, worst, open_, boxes.mix)
        return self._remixed(boxes[keep], planes[keep]), planes[keep]

    def _best(self, boxes: Boxes, planes: Planes, rows: int) -> Tensor:
        """The best bound `(boxes, group)` by the planes, of which the first belong to rows and the others to mixtures."""
        count = boxes.open.shape[1]
        best = alone = _largest(planes.least[:, :rows], planes.groups[:rows], count)
        if rows < len(planes.groups):
            best = _largest(planes.least, planes.groups, count)
            given, left = (int((boxes.open & ~(b > 0)).any(1).sum()) for b in (alone, best))
            self.mixing.told(given - left, given)
        return best

    def _queries(self, boxes: Boxes, mixing: bool) -> Queries:
        """The rows of the groups that are open in some of the boxes, and behind them two mixtures of each group's rows."""
        open_ = boxes.open.any(0)
        asked, mixed = open_[self.groups].nonzero().flatten(), (open_ & self.together & mixing).nonzero().flatten()
        rows, at = self.row[asked].unique(return_inverse=True)
        ends, rows = self.property.offsets[:, asked].to(boxes.lower), self.rows[rows].unsqueeze(0)
        if len(mixed):
            mixed = mixed.repeat_interleave(2)
            share = boxes.mix.repeat(1, len(mixed) // 2, 1) * (self.groups == mixed.unsqueeze(1)).to(boxes.mix)
            at = torch.cat([at, rows.shape[1] + torch.arange(len(mixed), device=at.device)])
            own = torch.tensordot(share, self.rows[self.row], 1)
            rows = torch.cat([rows.expand(len(boxes), *rows.shape[1:]), own], 1)
            ends = torch.cat([ends.expand(len(boxes), -1), share @ self.property.offsets[0].to(share)], 1)
        return Queries(rows, at, ends, torch.cat([self.groups[asked], mixed]), asked)

    def _planes(self, boxes: Boxes, state: BoxPass, queries: Queries) -> Planes:
        pulled = state.backward.pulled(self.graph.output, queries.rows, both=False)
        count = (len(boxes), queries.rows.shape[1], boxes.lower.shape[1])
        slope = boxes.lower.new_zeros(count) if pulled is None else pulled.lower.flatten(2).expand(count)
        offset = (boxes.lower.new_zeros(count[:2]) + state.backward.offset_lower)[:, queries.at] + queries.offsets
        return Planes(slope[:, queries.at], offset, offset, queries.groups)

    def _sloped(self, boxes: Boxes, state: BoxPass, queries: Queries, best: Tensor) -> Tensor:
        """The bounds `(boxes, group)`, better ones where slopes are optimised for the boxes that these leave open."""
        open_ = (boxes.open & ~(best > 0)).any(1)
        if self.leaves < LATE or not bool(open_.any()) or not self.sloping.due():
            return best
        rows, offsets = (t if len(t) == 1 else t[open_] for t in (queries.rows, queries.offsets))
        values = optimised(of_examples(state, open_), self.graph.output, rows, SLOPES)[:, queries.at] + offsets
        best = best.clone()
        best[open_] = torch.maximum(best[open_], _largest(values, queries.groups, best.shape[1]))
        given, left = int(open_.sum()), int((boxes.open & ~(best > 0)).any(1).sum())
        self.sloping.told(given - left, given)
        return best

    def _remixed(self, boxes: Boxes, planes: Planes) -> Boxes:
        """The boxes with weights by their planes, and by what the rows are in the middle and where those are least.

        Only for a next round with mixtures: the weights of others would be old by then.
        """
        if self.mixing.waiting > 1:
            return boxes
        mix = boxes.mix.clone()
        for group in (boxes.open.any(0) & self.together).nonzero().flatten().tolist():
            own = (self.groups == group).nonzero().flatten()
            given = (planes.groups == group).nonzero().flatten()
            slope, offset = planes.slope[:, given], planes.offset[:, given]
            share = by_planes(slope, offset, boxes.lower, boxes.upper)
            old = (share[:, len(own) :].unsqueeze(2) * boxes.mix[:, : len(given) - len(own), own]).sum(1)
            mix[:, 0, own] = share[:, : len(own)] + old
            corners = torch.where(slope >= 0, boxes.lower.unsqueeze(1), boxes.upper.unsqueeze(1))
            points = torch.cat([corners, (boxes.lower + boxes.upper).unsqueeze(1) / 2], 1)
            values = self.property.values(self.graph(points.reshape(-1, *self.graph.input_shape)))
            mix[:, 1, own] = by_points(values[:, own].unflatten(0, points.shape[:2]))
        return replace(boxes, mix=mix)

    def _searched(self, boxes: Boxes, planes: Planes) -> Tensor | None:
        """The middle of each box, and the corner that its worst open query points to."""
        worst = boxes.open[:, planes.groups] & ~planes.least.isnan()
        query = planes.least.masked_fill(~worst, torch.inf).argmin(1)
        slope = planes.slope[torch.arange(len(boxes)), query]
        corner = torch.where(slope >= 0, boxes.lower, boxes.upper)
        points = torch.cat([(boxes.lower + boxes.upper) / 2, corner]).reshape(-1, *self.graph.input_shape)
        margins = self.property.worst(self.property.values(self.graph(points)))
        bad = (margins <= 0).nonzero().flatten()
        if len(bad) and (found := self.task.confirm(points[bad[:16]])) is not None:
            return found
        return self._walked(boxes, margins[: len(boxes)])

    def _walked(self, boxes: Boxes, middles: Tensor) -> Tensor | None:
        """Short walks for a counterexample, inside the boxes whose middles are nearest to one."""
        at = middles.topk(min(WALKERS, len(boxes)), largest=False).indices
        shape = self.graph.input_shape
        box = Box(boxes.lower[at].reshape(-1, *shape), boxes.upper[at].reshape(-1, *shape))
        return falsify(replace(self.task, region=box), self.task.clock, SHORT, seed=self.leaves)

    def _clipped(self, boxes: Boxes, planes: Planes) -> tuple[Boxes, Planes]:
        """A violation of an open group lies where all planes of the group are at or below 0; boxes shrink to the hull."""
        low, high = torch.full_like(boxes.lower, torch.inf), torch.full_like(boxes.upper, -torch.inf)
        for group in boxes.open.any(0).nonzero().flatten().tolist():
            members = (planes.groups == group).nonzero().flatten().tolist()
            own_low, own_high = boxes.lower, boxes.upper
            for _ in range(ROUNDS):
                for q in members:
                    own_low, own_high = _cut(own_low, own_high, planes.slope[:, q], planes.offset[:, q])
            alive = boxes.open[:, group] & (own_low <= own_high).all(1)
            low = torch.where(alive.unsqueeze(1), torch.minimum(low, own_low), low)
            high = torch.where(alive.unsqueeze(1), torch.maximum(high, own_high), high)
        keep = (low <= high).all(1).nonzero().flatten()
        return replace(boxes, lower=low, upper=high)[keep], planes[keep]

    def _split(self, boxes: Boxes, planes: Planes) -> Boxes:
        """Halves along the inputs on which the open queries depend most; several times where boxes are few."""
        weight = (planes.slope.abs() * boxes.open[:, planes.groups].unsqueeze(2)).amax(1)
        times = max(1, (FEWEST // max(len(boxes), 1)).bit_length() - 1)
        for _ in range(min(times, 6)):
            width = boxes.upper - boxes.lower
            score = (weight + self.floor * weight.amax(1, keepdim=True) + 1e-12) * width
            at = score.argmax(1, keepdim=True)
            middle = (boxes.lower + boxes.upper).gather(1, at) / 2
            below = replace(boxes, upper=boxes.upper.scatter(1, at, middle))
            above = replace(boxes, lower=boxes.lower.scatter(1, at, middle))
            boxes, weight = Boxes.joined([below, above]), torch.cat([weight, weight])
        return boxes


def _popped(stack: list[Boxes], room: int) -> Boxes:
    """The youngest boxes, as many as there is room for."""
    parts = []
    while stack and room > 0:
        top = stack.pop()
        if len(top) > room:
            stack.append(top[: len(top) - room])
            top = top[len(top) - room :]
        parts.append(top)
        room -= len(top)
        if stack and set(stack[-1].known) != set(top.known):
            break
    return Boxes.joined(parts)


def _least(planes: Planes, lower: Tensor, upper: Tensor) -> Tensor:
    """The least value of each plane on its box, `(boxes, query)`."""
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    return (planes.slope @ center.unsqueeze(2) - planes.slope.abs() @ radius.unsqueeze(2)).squeeze(2) + planes.offset


def _cut(lower: Tensor, upper: Tensor, slope: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """The box round the part of each box where `slope · x + offset <= 0`; ends cross where there is none."""
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    least = (slope * center - slope.abs() * radius).sum(1) + offset
    own = torch.where(slope >= 0, slope * lower, slope * upper)
    rest = least.unsqueeze(1) - own
    size = (slope.abs() * torch.maximum(lower.abs(), upper.abs())).sum(1, keepdim=True) + offset.abs().unsqueeze(1)
    slack = 8 * torch.finfo(lower.dtype).eps * size
    reach = (slack - rest) / slope
    high = torch.where(slope > 0, torch.minimum(upper, reach), upper)
    low = torch.where(slope < 0, torch.maximum(lower, reach), lower)
    gone = least > slack.squeeze(1)
    return torch.where(gone.unsqueeze(1), upper + 1, low), torch.where(gone.unsqueeze(1), lower - 1, high)


def _largest(values: Tensor, groups: Tensor, count: int) -> Tensor:
    """The largest value of each group's queries, `(boxes, group)`; -inf of a group that has none."""
    lowest = values.new_full((len(values), count), -torch.inf)
    return lowest.scatter_reduce(1, groups.expand(values.shape), values, "amax")
