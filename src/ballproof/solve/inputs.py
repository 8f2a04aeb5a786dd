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
    """Boxes to be decided, `(n, inputs)`, with the intervals of inner nodes that their parents left, and their depth."""

    lower: Tensor
    upper: Tensor
    known: dict[str, Interval]
    worst: Tensor

    def __len__(self) -> int:
        return len(self.lower)

    def __getitem__(self, index: Tensor | slice) -> Boxes:
        known = {k: v[index] for k, v in self.known.items()}
        return Boxes(self.lower[index], self.upper[index], known, self.worst[index])

    @staticmethod
    def joined(parts: list[Boxes]) -> Boxes:
        known = {
            k: Interval(torch.cat([p.known[k].lower for p in parts]), torch.cat([p.known[k].upper for p in parts]))
            for k in parts[0].known
        }
        ends = (torch.cat([p.lower for p in parts]), torch.cat([p.upper for p in parts]))
        return Boxes(*ends, known, torch.cat([p.worst for p in parts]))


@dataclass
class Planes:
    """For each box and query `slope · x + offset <= query(x)`, and its least value there."""

    slope: Tensor
    offset: Tensor
    least: Tensor


class InputSplitting:
    """The search on one task whose region is a box."""

    def __init__(self, task: Task) -> None:
        self.task, self.graph = task, task.graph
        self.property = task.property
        self.kept = [i for n in self.graph.varying if isinstance(n.operation, Nonlinear) for i in n.inputs]
        self.kept = [k for k in dict.fromkeys(self.kept) if self.graph.node[k].varies and k != self.graph.input]
        self.leaves, self.size = 0, 4 * NARROWEST_BATCH
        box = task.region.box()
        worst = torch.full((box.lower.shape[0],), -torch.inf, dtype=box.lower.dtype)
        self.stack = [Boxes(box.lower.flatten(1), box.upper.flatten(1), {}, worst)]

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
        """The boxes that stay open, with intervals and planes of their own."""
        shape = self.graph.input_shape
        box = Box(boxes.lower.reshape(-1, *shape), boxes.upper.reshape(-1, *shape))
        state = BoxPass(self.graph, box, boxes.known).run()
        rows = self.property.coefficients.to(box.dtype)
        pulled = state.backward.pulled(self.graph.output, rows, both=False)
        count = (len(boxes), rows.shape[1], box.lower[0].numel())
        slope = box.lower.new_zeros(count) if pulled is None else pulled.lower.flatten(2).expand(count)
        offset = state.backward.offset_lower + self.property.offsets.to(box.dtype)
        planes = Planes(slope, offset.expand(count[:2]), box.lower)
        planes.least = _least(planes, boxes.lower, boxes.upper)
        worst = self.property.worst(planes.least)
        boxes = Boxes(boxes.lower, boxes.upper, {k: state.intervals[k] for k in self.kept}, worst)
        keep = (~(worst > 0)).nonzero().flatten()
        return boxes[keep], Planes(planes.slope[keep], planes.offset[keep], planes.least[keep])

    def _searched(self, boxes: Boxes, planes: Planes) -> Tensor | None:
        """The middle of each box, and the corner that its worst open query points to."""
        worst = self._open(planes.least).masked_fill_(planes.least.isnan(), False)
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

    def _open(self, least: Tensor) -> Tensor:
        """The queries of the groups that no query of theirs refutes, `(boxes, query)`."""
        groups = torch.tensor(self.property.groups, device=least.device)
        refuted = torch.zeros(len(least), int(groups.max()) + 1, dtype=torch.bool, device=least.device)
        refuted.index_copy_(1, torch.arange(refuted.shape[1]), _any_of(least > 0, groups, refuted.shape[1]))
        return ~refuted[:, groups]

    def _clipped(self, boxes: Boxes, planes: Planes) -> tuple[Boxes, Planes]:
        """A violation of an open group lies where all planes of the group are at or below 0; boxes shrink to the hull."""
        groups = torch.tensor(self.property.groups, device=planes.least.device)
        count = int(groups.max()) + 1
        open_ = self._open(planes.least)
        low, high = torch.full_like(boxes.lower, torch.inf), torch.full_like(boxes.upper, -torch.inf)
        for group in range(count):
            members = (groups == group).nonzero().flatten()
            own_low, own_high = boxes.lower, boxes.upper
            for _ in range(ROUNDS):
                for q in members.tolist():
                    own_low, own_high = _cut(own_low, own_high, planes.slope[:, q], planes.offset[:, q])
            alive = open_[:, members[0]] & (own_low <= own_high).all(1)
            low = torch.where(alive.unsqueeze(1), torch.minimum(low, own_low), low)
            high = torch.where(alive.unsqueeze(1), torch.maximum(high, own_high), high)
        keep = (low <= high).all(1).nonzero().flatten()
        boxes = Boxes(low, high, boxes.known, boxes.worst)[keep]
        return boxes, Planes(planes.slope[keep], planes.offset[keep], planes.least[keep])

    def _split(self, boxes: Boxes, planes: Planes) -> Boxes:
        """Halves along the inputs on which the open queries depend most; several times where boxes are few."""
        weight = (planes.slope.abs() * self._open(planes.least).unsqueeze(2)).amax(1)
        times = max(1, (FEWEST // max(len(boxes), 1)).bit_length() - 1)
        for _ in range(min(times, 6)):
            width = boxes.upper - boxes.lower
            score = (weight + FLOOR * weight.amax(1, keepdim=True) + 1e-12) * width
            at = score.argmax(1, keepdim=True)
            middle = (boxes.lower + boxes.upper).gather(1, at) / 2
            below = Boxes(boxes.lower, boxes.upper.scatter(1, at, middle), boxes.known, boxes.worst)
            above = Boxes(boxes.lower.scatter(1, at, middle), boxes.upper, boxes.known, boxes.worst)
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


def _any_of(holds: Tensor, groups: Tensor, count: int) -> Tensor:
    """Whether it holds for some query of each group, `(boxes, group)`."""
    found = torch.zeros(len(holds), count, dtype=torch.int8, device=holds.device)
    return found.scatter_reduce(1, groups.expand(holds.shape), holds.to(torch.int8), "amax").bool()
