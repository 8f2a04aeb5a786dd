"""Splitting the input: many small boxes at a time, bounded by lines, clipped by them and halved until all are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.bounds.interval import step
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import LinearMethod
from ballproof.graph import Graph
from ballproof.operations import Nonlinear
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.problems import Box
from ballproof.solve.clock import Answer, Clock, Task
from ballproof.solve.falsify import Walk, falsify
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
    """Boxes to be decided, `(n, inputs)`, with the intervals of inner nodes that their parents left, the worst margin proven
    `(n,)`, and which groups of the property are open, `(n, groups)`."""

    lower: Tensor
    upper: Tensor
    known: dict[str, Interval]
    worst: Tensor
    open: Tensor

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index: Tensor | slice) -> Boxes:
        known = {k: v[index] for k, v in self.known.items()}
        return Boxes(self.lower[index], self.upper[index], known, self.worst[index], self.open[index])

    @staticmethod
    def joined(parts: list[Boxes]) -> Boxes:
        known = {
            k: Interval(torch.cat([p.known[k].lower for p in parts]), torch.cat([p.known[k].upper for p in parts]))
            for k in parts[0].known
        }
        cat = lambda name: torch.cat([getattr(p, name) for p in parts])  # noqa: E731
        return Boxes(cat("lower"), cat("upper"), known, cat("worst"), cat("open"))


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
        self.floor = FLOOR_CURVED if any(isinstance(n.operation, (Power, Product)) for n in self.graph.varying) else FLOOR
        box = task.region.box()
        worst = torch.full((box.lower.shape[0],), -torch.inf, dtype=box.lower.dtype)
        every = torch.ones(len(worst), len(names), dtype=torch.bool, device=worst.device)
        self.stack = [Boxes(box.lower.flatten(1), box.upper.flatten(1), {}, worst, every)]

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
        asked = boxes.open.any(0)[self.groups].nonzero().flatten()
        rows, at = self.row[asked].unique(return_inverse=True)
        pulled = state.backward.pulled(self.graph.output, self.rows[rows].unsqueeze(0), both=False)
        count = (len(boxes), len(rows), boxes.lower.shape[1])
        slope = box.lower.new_zeros(count) if pulled is None else pulled.lower.flatten(2).expand(count)
        offset = (box.lower.new_zeros(count[:2]) + state.backward.offset_lower)[:, at] + self.property.offsets[:, asked].to(
            slope
        )
        planes = Planes(slope[:, at], offset, offset, self.groups[asked])
        planes.least = _least(planes, boxes.lower, boxes.upper)
        best = _largest(planes.least, planes.groups, boxes.open.shape[1])
        open_ = boxes.open & ~(best > 0)
        worst = best.masked_fill(~open_, torch.inf).amin(1)
        keep = open_.any(1).nonzero().flatten()
        boxes = Boxes(boxes.lower, boxes.upper, {k: state.intervals[k] for k in self.kept}, worst, open_)
        return boxes[keep], planes[keep]

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
