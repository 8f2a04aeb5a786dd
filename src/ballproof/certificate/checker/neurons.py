"""Proofs that split neurons: the lines of a box from `g` on, up to `e` or `x`.

    a GROUP                 a new cell: the whole box, where no row of this group is positive; others of the group are dropped
    n CELL BEND UNIT AT     two new cells: the argument of this unit of rectifier number BEND is <= AT, and >= AT
    i CELL BEND UNIT SIDE MIX SLOPES TRIPLES    the argument is at least (SIDE 1), or at most (-1), what the rest proves of it
    q CELL MIX SLOPES TRIPLES    proven: the MIX of the group's rows is positive in the cell, so the cell is empty
    q CELL                  proven: the ends of some argument cross, so the cell is empty
    e                       the end: all groups had a cell, and none is open
    x                       all these lines are dropped, and others follow

A cell is a part of the box on which the property might be violated: so each row of its group is at most 0 there. Cells are
numbered from 0 in the order in which they are made. GROUP may be the number of groups: such a cell is of all groups, without a
row, and may stay open; while one is open, what later lines `a` call the whole box is that cell. MIX: weights >= 0 of the rows
of the group, with commas. SLOPES: a word for each rectifier, a character for each unit: the slope of its line below is
(code - 48) / 64, from `0` to `p`; `.` is the slope 0 or 1 that the checker takes by itself, `-` stands for a word of these.
TRIPLES: BEND, UNIT and multiplier. Arguments have the intervals of the whole box, cut by the splits and by the lines `i` of the
cell and of those that it is a part of; lines `i` that follow each other in a cell and are of one rectifier do not use each
other. Any slopes and multipliers prove what they prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Array, RefusedError
from ballproof.certificate.checker.lines import Open, index, number
from ballproof.certificate.checker.network import Question
from ballproof.certificate.checker.rounded import Bounds, Lines, lines

BATCH = 64
FIRST, LEVELS = 48, 64
MOST_ROWS = 1000
"""Rows of one group."""


@dataclass
class Cell:
    """ends: by bend, the least and the largest values of its arguments. share: of the box, by halves. fresh: what the last
    lines `i`, of rectifier `bend`, say, by unit and side."""

    group: int
    ends: list[tuple[Array, Array]]
    share: float = 1.0
    bend: int = -1
    fresh: dict[tuple[int, int], Any] = field(default_factory=dict)

    def cut(self, bend: int, told: dict[tuple[int, int], Any]) -> list[tuple[Array, Array]]:
        """The ends of where arguments are at least the values that are told of them, or (side -1) at most."""
        low, high = (end.copy() for end in self.ends[bend])
        for (unit, side), value in told.items():
            end, better = (low, max) if side > 0 else (high, min)
            end[unit] = better(end[unit], value)
        return [*self.ends[:bend], (low, high), *self.ends[bend + 1 :]]

    def learn(self, unit: int, side: int, value: Any) -> None:
        """What a line `i` says, which holds in the cell once it is narrowed."""
        better = max if side > 0 else min
        self.fresh[unit, side] = better(self.fresh.get((unit, side), value), value)

    def narrow(self) -> None:
        """Takes what the last lines `i` say."""
        self.ends = self.cut(self.bend, self.fresh) if self.fresh else self.ends
        self.bend, self.fresh = -1, {}


@dataclass(frozen=True)
class Query:
    """A mix of the group's rows, and what it is asked for: to be positive, or the argument of a unit times a side."""

    cell: Cell
    mix: Array
    slopes: list[Array]
    multipliers: list[tuple[int, int, float]]
    aim: tuple[int, int, int] | None = None


class Cells(Open):
    """The cells that are open, and what waits to be computed."""

    kind = "cells"

    def __init__(self, bounds: Bounds, question: Question) -> None:
        self.bounds, self.question = bounds, question
        self.whole = [(low[0], high[0]) for low, high in bounds.arguments.values()]
        super().__init__(sum(low.size for low, _ in self.whole))
        self.begun = [0] * (question.count + 1)
        self.waiting: list[Query] = []

    def read(self, line: str) -> None:
        """One line. Raises `RefusedError` where it is none, or names a cell that is not open."""
        match line.split():
            case ["a", group]:
                self.begin(index(group, self.question.count + 1))
            case ["n", name, bend, unit, at]:
                cell, (own, one), value = self.cell(name), self.unit(bend, unit), self.bounds.arithmetic.scalar(number(at))
                del self.open[int(name)]
                self.add(*(Cell(cell.group, cell.cut(own, {(one, side): value}), cell.share / 2) for side in (-1, 1)))
            case ["q", name, *words]:
                cell = self.cell(name)
                if words or not any((low > high).any() for low, high in cell.ends):
                    self.waiting.append(self.query(cell, words))
                del self.open[int(name)]
            case ["i", name, bend, unit, "1" | "-1" as side, mix, *words]:
                aim = (*self.unit(bend, unit), int(side))
                cell = self.cell(name, aim[0])
                cell.bend = aim[0]
                self.waiting.append(self.query(cell, [mix, *words], aim))
            case _:
                raise RefusedError(f"`{line[:40]}` is no line of a proof by neurons")
        if len(self.waiting) >= BATCH:
            self.settle()

    def cell(self, name: str, bend: int = -1) -> Cell:
        """The cell, in which what its lines `i` say holds, but for the last ones if they are of this rectifier."""
        cell: Cell = self.opened(name)
        if cell.bend not in (-1, bend):
            self.settle()
            cell.narrow()
        return cell

    def settle(self) -> None:
        """Computes what waits. Raises `RefusedError` where a leaf is not proven."""
        waiting, self.waiting = self.waiting, []
        found = values(self.bounds, self.question, waiting) if waiting else ()
        for query, value in zip(waiting, found, strict=True):
            if query.aim is not None:
                query.cell.learn(*query.aim[1:], query.aim[2] * value)
            elif not value > 0:
                raise RefusedError(f"a leaf is not proven: its rows are only known to be above {float(value):.6g}")

    def begin(self, group: int) -> None:
        """A cell that is the whole box, or the open one of all groups. Three times at most for each: searches begin again."""
        self.open = {k: c for k, c in self.open.items() if c.group != group}
        shared = [c for c in self.open.values() if c.group == self.question.count]
        if self.begun[group] > 2 or len(shared) > 1:
            raise RefusedError(f"group {group} begins again and again, or in several parts of the box")
        self.begun[group] += 1
        self.add(Cell(group, shared[0].ends if shared else self.whole, float(group < self.question.count)))

    @property
    def left(self) -> float:
        """What share of the box is open, each half of a split counted half."""
        return float(sum(c.share for c in self.open.values()) + self.begun[:-1].count(0)) / self.question.count

    def query(self, cell: Cell, words: list[str], aim: tuple[int, int, int] | None = None) -> Query:
        """What MIX, SLOPES and TRIPLES say."""
        count = len(self.whole)
        if len(words) <= count or (len(words) - 1 - count) % 3:
            raise RefusedError("a line with too few or too many words")
        mix = [number(w) for w in words[0].split(",")]
        if len(mix) != max((self.question.groups == cell.group).sum(), 1) or min(mix) < 0 or len(mix) > MOST_ROWS:
            raise RefusedError("weights of rows that are negative, too few or too many")
        slopes = [_levels(word, low.size) for word, (low, _) in zip(words[1 : 1 + count], self.whole, strict=True)]
        rest = words[1 + count :]
        multipliers = [(*self.unit(a, b), number(c)) for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True)]
        return Query(cell, np.array(mix), slopes, multipliers, aim)

    def finish(self) -> None:
        """Raises `RefusedError` unless all cells of every group are proven: not by their shares, which underflow."""
        self.settle()
        if (
            any(c.group < self.question.count for c in self.open.values()) or 0 in self.begun[:-1]
        ):  # not their shares, which underflow
            raise RefusedError(f"a proof by neurons ends with {100 * self.left:.4g} % of its box open")

    def unit(self, bend: str, unit: str) -> tuple[int, int]:
        """Numbers of a rectifier and of one of its units."""
        found = index(bend, len(self.whole))
        return found, index(unit, self.whole[found][0].size)


def _levels(word: str, size: int) -> Array:
    """The codes of slopes, less the first one; that of `.` for what the checker takes by itself."""
    found = np.frombuffer(("." * size if word == "-" else word).encode(), np.uint8).astype(int) - FIRST
    if len(found) != size or not ((found <= LEVELS) & ((found >= 0) | (found == ord(".") - FIRST))).all():
        raise RefusedError("slopes of another number of units, or outside of 0 to 1")
    return found


def values(bounds: Bounds, question: Question, queries: list[Query]) -> Array:
    """What each query proves, `(queries,)`: a lower value of its mix, or of the argument that it aims at times the side."""
    exact, found = bounds.arithmetic, {}
    given = [np.zeros((2, len(queries), low.shape[1]), bounds.type) for low, _ in bounds.arguments.values()]
    for i, query in enumerate(queries):
        for bend, unit, value in query.multipliers:
            given[bend][0, i, unit] = exact.scalar(value)
        if query.aim is not None:
            given[query.aim[0]][1, i, query.aim[1]] = query.aim[2]
    for bend, (place, (multiplier, aimed)) in enumerate(zip(bounds.arguments, given, strict=True)):
        lows, highs = (np.stack([q.cell.ends[bend][side] for q in queries]) for side in (0, 1))
        own, levels = lines(lows, highs, exact), np.stack([q.slopes[bend] for q in queries])
        below = np.where(levels >= 0, exact.number(levels / LEVELS), own.below[:, 0])
        cost, added = np.maximum(multiplier, 0) * highs + np.minimum(multiplier, 0) * lows, multiplier + aimed
        found[place] = Lines(below[:, None], own.base, own.above, own.offset, added[:, None], cost[:, None])
    asked, view = np.column_stack([question.rows, question.offsets]), bounds.network.output
    terms = [exact.number(q.mix[:, None]) * asked[question.groups == q.cell.group] for q in queries]
    row, size = (np.stack([t.sum(0) for t in each])[:, None] for each in (terms, map(np.abs, terms)))
    least = bounds.planes(row[..., :-1], row[..., -1], found).least[:, 0]
    wrong = (size[:, 0, :-1] * bounds.magnitude(view.node)[:, view.index.ravel()]).sum(1) + size[:, 0, -1]  # of these sums
    least = exact.down(least - exact.gamma(MOST_ROWS) * wrong * exact.slop)
    return exact.number(exact.outward(least, least)[0])
