"""The proof of one root: boxes that are clipped and split, and at the end proven, one by one.

    p BOX           proven: of every group of rows one is positive on the box, or nothing is left of it when it is clipped
    s BOX DIM AT    two new boxes: where input DIM is at most AT, a hexadecimal float, and where it is at least that
    k BOX DIM AT    clipped to where every row of some group may be at most 0, by the rows' own planes; then split
    g BOX           a proof of the box by splits of neurons (neurons.py): the lines that follow, up to `e` or `x`

Boxes are numbered from 0, the root, in the order in which they are made. A split needs no trust: both halves are the box's own,
and AT is moved into it. A clip is made anew here. So the lines can only fail to prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import TINY, UNIT, Arithmetic, RefusedError
from ballproof.certificate.checker.network import Array, Network
from ballproof.certificate.checker.neurons import MOST_OPEN, Cells, Question, index, number
from ballproof.certificate.checker.rounded import Bounds, Planes

BATCH = 256


@dataclass
class Box:
    """low, high: `(inputs,)`; None of a half whose whole waits to be clipped. share: of the root, by halves."""

    low: Any
    high: Any
    share: float = 1.0


@dataclass(frozen=True)
class Step:
    """What waits to be computed: that a box is proven, or where it is clipped and then cut."""

    name: int
    box: Box
    axis: int = 0
    at: float = 0.0
    halves: tuple[Box, ...] = ()


class Tree:
    """The boxes of one root that are open."""

    def __init__(self, network: Network, low: Array, high: Array, question: Question, arithmetic: Arithmetic) -> None:
        self.network, self.question, self.arithmetic, self.inputs = network, question, arithmetic, len(low)
        self.open, self.count = {0: Box(low, high)}, 1
        self.waiting: list[Step] = []
        self.cells: Cells | None = None
        self.of = 0  # the box whose parts they are

    def read(self, line: str) -> None:
        """One line. Raises `RefusedError` where it is none, or where one that came before does not prove what it says."""
        if self.cells is not None:
            self._read_neurons(self.cells, line)
            return
        word, *rest = line.split() or [""]
        if len(rest) != {"p": 1, "g": 1, "s": 3, "k": 3}.get(word):
            raise RefusedError(f"`{line[:40]}` begins no line of a tree")
        name = index(rest[0], self.count)
        if name not in self.open:
            raise RefusedError(f"`{line[:40]}` is of a box that is not open")
        box = self.open[name]
        if box.low is None or len(self.waiting) >= BATCH:
            self.settle()
        if word == "g":
            bounds = Bounds(self.network, box.low[None], box.high[None], self.arithmetic)
            self.cells, self.of = Cells(bounds, self.question), name
            return
        del self.open[name]
        step = Step(name, box)
        if word != "p":
            halves = Box(None, None, box.share / 2), Box(None, None, box.share / 2)
            step = Step(name, box, index(rest[1], self.inputs), number(rest[2]), halves)
            self.open |= {self.count: halves[0], self.count + 1: halves[1]}
            self.count += 2
        if len(self.open) * self.inputs > MOST_OPEN:
            raise RefusedError("too many boxes are open at once")
        if word == "s":
            self._cut(box.low, box.high, step)
        else:
            self.waiting.append(step)

    def _read_neurons(self, cells: Cells, line: str) -> None:
        if line == "e":
            cells.finish()
            del self.open[self.of]
        if line in ("e", "x"):
            self.cells = None
        else:
            cells.read(line)

    def settle(self) -> None:
        """Computes what waits. Raises `RefusedError` where a box is not proven."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        low, high = np.stack([s.box.low for s in waiting]), np.stack([s.box.high for s in waiting])
        planes = Bounds(self.network, low, high, self.arithmetic).planes(self.question.rows[None], self.question.offsets[None])
        low, high, empty = clipped(low, high, planes, self.question, self.arithmetic)
        for i, step in enumerate(waiting):
            if step.halves:
                self._cut(low[i], high[i], step)
            elif not empty[i]:
                known = float(planes.least[i].max())
                raise RefusedError(f"box {step.name} is not proven: its rows are only known to be above {known:.6g}")

    def _cut(self, low: Array, high: Array, step: Step) -> None:
        """The ends of both halves."""
        at = min(max(self.arithmetic.scalar(step.at), low[step.axis]), high[step.axis])
        below, above = high.copy(), low.copy()
        below[step.axis] = above[step.axis] = at
        (step.halves[0].low, step.halves[0].high), (step.halves[1].low, step.halves[1].high) = (low, below), (above, high)

    def finish(self) -> None:
        """Raises `RefusedError` unless all boxes are proven."""
        self.settle()
        left = sum(box.share for box in self.open.values())
        if self.cells is not None:
            self.cells.settle()
            left -= self.open[self.of].share * (1 - self.cells.left)
        if self.open:
            raise RefusedError(f"the proof is partial: {100 * left:.4g} % of a box are open, counted by halves of splits")


def refuted(least: Array, question: Question) -> Array:
    """Whether some row of each group is positive all over the box, `(boxes, groups)`."""
    found = np.zeros((len(least), question.count), bool)
    for row, group in enumerate(question.groups):
        found[:, group] |= least[:, row] > 0
    return found


def clipped(low: Array, high: Array, planes: Planes, question: Question, arithmetic: Arithmetic) -> tuple[Array, Array, Array]:
    """Boxes that hold every point at which all rows of some group are at most 0, and which of them hold none.

    One without any such point is returned as a point of it.
    On a violation `slope · x + offset <= 0`, so `slope_d x_d <= -offset - (the least of the other terms)`.
    """
    gone = refuted(planes.least, question)
    wholes, empty = (high.copy(), low.copy()), np.ones(len(low), bool)
    for group in range(question.count):
        own = low, high
        for row in np.flatnonzero(question.groups == group):
            own = _cut(*own, planes.slope[:, row], planes.offset[:, row], arithmetic)
        alive = ~gone[:, group] & (own[0] <= own[1]).all(1)
        wholes[0][alive] = np.minimum(wholes[0][alive], own[0][alive])
        wholes[1][alive] = np.maximum(wholes[1][alive], own[1][alive])
        empty &= ~alive
    wholes[1][empty] = wholes[0][empty] = low[empty]
    return *wholes, empty


def _cut(low: Array, high: Array, slope: Array, offset: Array, arithmetic: Arithmetic) -> tuple[Array, Array]:
    """The part of each box on which one plane may be at most 0; ends cross where there is none."""
    unit = 0 if arithmetic.exact else 4 * UNIT
    terms = np.minimum(slope * low, slope * high)
    size = np.abs(slope) * np.maximum(np.abs(low), np.abs(high))
    wrong = (slope.shape[1] + 4) * unit * (size.sum(1) + np.abs(offset)) + (0 if arithmetic.exact else TINY)
    rest = (terms.sum(1) + offset - wrong)[:, None] - terms  # at most the least of all the other terms and the offset
    rest = rest - unit * np.abs(terms)
    with np.errstate(over="ignore", invalid="ignore"):
        reach = -rest / np.where(slope == 0, 1, slope)
        wide = np.abs(reach) * unit
        up, down = arithmetic.up(reach + wide), arithmetic.down(reach - wide)
        keep = slope == 0 if arithmetic.exact else (slope == 0) | ~np.isfinite(reach)
    return np.where(~keep & (slope < 0), np.maximum(low, down), low), np.where(~keep & (slope > 0), np.minimum(high, up), high)
