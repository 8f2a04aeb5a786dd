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

from ballproof.certificate.checker.arithmetic import UNIT, Arithmetic, Array, RefusedError
from ballproof.certificate.checker.lines import Open, index, number
from ballproof.certificate.checker.network import Network, Question, Root
from ballproof.certificate.checker.neurons import Cells
from ballproof.certificate.checker.rounded import Bounds, Planes

BATCH = 256


@dataclass
class Box:
    """low, high: `(inputs,)`; None of a half whose whole waits to be clipped. share: of the root, by halves. axis, at, halves:
    where it is cut, and into what."""

    low: Any
    high: Any
    share: float = 1.0
    axis: int = 0
    at: Any = 0
    halves: tuple[Box, ...] = ()

    def cut(self, low: Array, high: Array) -> None:
        """The ends of both halves, of what is left of the box."""
        below, above = high.copy(), low.copy()
        below[self.axis] = above[self.axis] = min(max(self.at, low[self.axis]), high[self.axis])
        (self.halves[0].low, self.halves[0].high), (self.halves[1].low, self.halves[1].high) = (low, below), (above, high)


class Tree(Open):
    """The boxes of one root that are open, and what waits to be clipped and cut, or proven where it has no halves."""

    def __init__(self, network: Network, root: Root, arithmetic: Arithmetic) -> None:
        self.network, self.question, self.arithmetic, self.inputs = network, root.question, arithmetic, len(root.low)
        super().__init__(self.inputs)
        self.add(Box(root.low, root.high))
        self.waiting: list[tuple[str, Box]] = []
        self.cells: Cells | None = None
        self.of = 0  # the box whose parts they are

    def read(self, line: str) -> None:
        """One line. Raises `RefusedError` where it is none, or where one that came before does not prove what it says."""
        match line.split():
            case _ if self.cells is not None and line not in ("e", "x"):
                self.cells.read(line)
            case ["e" | "x" as word] if self.cells is not None:
                if word == "e":
                    self.cells.finish()
                    del self.open[self.of]
                self.cells = None
            case ["g", name]:
                box = self.box(name)
                bounds = Bounds(self.network, box.low[None], box.high[None], self.arithmetic)
                self.of, self.cells = int(name), Cells(bounds, self.question)
            case ["p", name]:
                box = self.box(name)  # before it waits itself: what waits may be computed here
                del self.open[int(name)]
                self.waiting.append((name, box))
            case ["s" | "k" as word, name, axis, at]:
                box = self.box(name)
                box.axis, box.at = index(axis, self.inputs), self.arithmetic.scalar(number(at))
                box.halves = Box(None, None, box.share / 2), Box(None, None, box.share / 2)
                del self.open[int(name)]
                self.add(*box.halves)
                if word == "k":
                    self.waiting.append((name, box))
                else:
                    box.cut(box.low, box.high)
            case _:
                raise RefusedError(f"`{line[:40]}` begins no line of a tree")

    def box(self, name: str) -> Box:
        """An open box, whose ends are known. What waits may be computed."""
        box: Box = self.opened(name)
        if box.low is None or len(self.waiting) >= BATCH:
            self.settle()
        return box

    def settle(self) -> None:
        """Computes what waits. Raises `RefusedError` where a box is not proven."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        low, high = np.stack([box.low for _, box in waiting]), np.stack([box.high for _, box in waiting])
        planes = Bounds(self.network, low, high, self.arithmetic).planes(self.question.rows[None], self.question.offsets[None])
        low, high, empty = clipped(low, high, planes, self.question, self.arithmetic)
        for i, (name, box) in enumerate(waiting):
            if box.halves:
                box.cut(low[i], high[i])
            elif not empty[i]:
                known = float(planes.least[i].max())
                raise RefusedError(f"box {name} is not proven: its rows are only known to be above {known:.6g}")

    def finish(self) -> None:
        """Raises `RefusedError` unless all boxes are proven."""
        self.settle()
        left = sum(box.share for box in self.open.values())
        if self.cells is not None:
            self.cells.settle()
            left -= self.open[self.of].share * (1 - self.cells.left)
        if self.open:
            raise RefusedError(f"the proof is partial: {100 * left:.4g} % of a box are open, counted by halves of splits")


def clipped(low: Array, high: Array, planes: Planes, question: Question, arithmetic: Arithmetic) -> tuple[Array, Array, Array]:
    """Boxes that hold every point at which all rows of some group are at most 0, and which of them hold none.

    One without any such point is returned as a point of it.
    On a violation `slope · x + offset <= 0`, so `slope_d x_d <= -offset - (the least of the other terms)`.
    """
    wholes, empty = (high.copy(), low.copy()), np.ones(len(low), bool)
    for group in range(question.count):
        own, gone = (low, high), (planes.least[:, question.groups == group] > 0).any(1)
        for row in np.flatnonzero(question.groups == group):
            own = _cut(*own, planes.slope[:, row], planes.offset[:, row], arithmetic)
        alive = ~gone & (own[0] <= own[1]).all(1)
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
    wrong = (slope.shape[1] + 4) * unit * (size.sum(1) + np.abs(offset)) + arithmetic.tiny
    rest = (terms.sum(1) + offset - wrong)[:, None] - terms - unit * np.abs(terms)  # at most what all others and the offset are
    with np.errstate(over="ignore", invalid="ignore"):
        reach = -rest / np.where(slope == 0, 1, slope)
        wide = np.abs(reach) * unit
        up, down = arithmetic.up(reach + wide), arithmetic.down(reach - wide)
        keep = slope == 0 if arithmetic.exact else (slope == 0) | ~np.isfinite(reach)
    return np.where(~keep & (slope < 0), np.maximum(low, down), low), np.where(~keep & (slope > 0), np.minimum(high, up), high)
