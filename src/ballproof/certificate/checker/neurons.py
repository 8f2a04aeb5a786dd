"""Proofs that split neurons: the lines of a box from `g` on, up to `e` or `x`.

    a GROUP                 a new cell: the whole box, where no row of this group is positive; others of the group are dropped
    n CELL BEND UNIT        two new cells: the argument of this unit of rectifier number BEND is <= 0, and >= 0
    i CELL BEND UNIT SIDE MIX SLOPES TRIPLES    the argument is at least (SIDE 1), or at most (-1), what the rest proves of it
    q CELL MIX SLOPES TRIPLES    proven: the MIX of the group's rows is positive in the cell, so the cell is empty
    q CELL                  proven: the ends of some argument cross, so the cell is empty
    e                       the end: all groups had a cell, and none is open
    x                       all these lines are dropped, and others follow

A cell is a part of the box on which the property might be violated: so each row of its group is at most 0 there. Cells are
numbered from 0 in the order in which they are made. MIX: weights >= 0 of the group's rows, with commas. SLOPES: a word for each
rectifier, a character for each unit: the slope of its line below is (code - 48) / 64, from `0` to `p`; `.` is the slope 0 or 1
that the checker takes by itself, `-` stands for a word of these. TRIPLES: BEND, UNIT and multiplier. Arguments have the
intervals of the whole box, cut by the splits and by the lines `i` of the cell and of those that it is a part of; lines `i` that
follow each other in a cell and are of one rectifier do not use each other. Any slopes and multipliers prove what they prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.network import Array
from ballproof.certificate.checker.rounded import MOST_ROWS, Bounds, Lines, lines

BATCH = 64
FIRST, LEVELS = 48, 64
MOST_OPEN = 2**26
"""Numbers that the cells which are open at once may hold."""


@dataclass(frozen=True)
class Question:
    """The rows `(rows, outputs)` with offsets, of which some group must not hold; groups: by row, 0 .. groups - 1."""

    rows: Array
    offsets: Array
    groups: Array

    @property
    def count(self) -> int:
        return int(self.groups.max()) + 1


def number(word: str) -> float:
    """A hexadecimal float that is finite."""
    try:
        found = float.fromhex(word)
    except (ValueError, OverflowError):
        raise RefusedError(f"`{word[:20]}` is no number") from None
    if not np.isfinite(found):
        raise RefusedError(f"`{word[:20]}` is not finite")
    return found


def index(word: str, count: int) -> int:
    """A whole number below `count`."""
    if not word.isascii() or not word.isdigit() or len(word) > 9 or int(word) >= count:
        raise RefusedError(f"`{word[:20]}` is none of {count}")
    return int(word)


@dataclass
class Cell:
    """ends: by bend, the least and the largest values of its arguments. share: of the box, by halves. fresh: what the last
    lines `i`, of rectifier `bend`, say: unit, side and value."""

    group: int
    ends: list[tuple[Array, Array]]
    share: float = 1.0
    bend: int = -1
    fresh: list[tuple[int, int, Any]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return any(bool((low > high).any()) for low, high in self.ends)

    def cut(self, bend: int, unit: int, side: int, value: Any) -> list[tuple[Array, Array]]:
        """The ends of where an argument is at least the value, or (side -1) at most."""
        low, high = (end.copy() for end in self.ends[bend])
        end = low if side > 0 else high
        end[unit] = value if side * (value - end[unit]) > 0 else end[unit]
        return [*self.ends[:bend], (low, high), *self.ends[bend + 1 :]]

    def narrow(self) -> None:
        """Takes what the last lines `i` say."""
        for unit, side, value in self.fresh:
            self.ends = self.cut(self.bend, unit, side, value)
        self.bend, self.fresh = -1, []


@dataclass(frozen=True)
class Query:
    """A mix of the group's rows, and what it is asked for: to be positive, or the argument of a unit times a side."""

    cell: Cell
    mix: Array
    slopes: list[Array]
    multipliers: list[tuple[int, int, float]]
    aim: tuple[int, int, int] | None = None


class Cells:
    """The cells that are open, and what waits to be computed."""

    def __init__(self, bounds: Bounds, question: Question) -> None:
        self.bounds, self.question = bounds, question
        self.whole = [(low[0], high[0]) for low, high in bounds.arguments.values()]
        self.size = 1 + sum(low.size for low, _ in self.whole)
        self.open: dict[int, Cell] = {}
        self.begun: list[int] = []
        self.count = 0
        self.waiting: list[Query] = []

    def read(self, line: str) -> None:
        """One line. Raises `RefusedError` where it is none, or names a cell that is not open."""
        word, *rest = line.split() or [""]
        if word == "a" and len(rest) == 1:
            self.begin(index(rest[0], self.question.count))
            return
        name = index(rest[0], self.count) if rest and word in ("n", "i", "q") else -1
        if name not in self.open:
            raise RefusedError(f"`{line[:40]}` is no line of a proof by neurons, or of a cell that is not open")
        cell, words = self.open[name], rest[1:]
        if cell.bend >= 0 and (word, words[:1]) != ("i", [str(cell.bend)]):
            self.settle()
            cell.narrow()
        if word == "n" and len(words) == 2:
            self.split(name, *self.unit(*words))
        elif word == "q" and (words or not cell.empty):
            self.waiting.append(self.query(self.open.pop(name), words))
        elif word == "q":
            del self.open[name]
        elif word == "i" and len(words) > 3 and words[2] in ("1", "-1"):
            cell.bend, unit = self.unit(*words[:2])
            self.waiting.append(self.query(cell, words[3:], (cell.bend, unit, int(words[2]))))
        else:
            raise RefusedError(f"`{line[:40]}` is no line of a proof by neurons")
        if len(self.waiting) >= BATCH:
            self.settle()

    def settle(self) -> None:
        """Computes what waits. Raises `RefusedError` where a leaf is not proven."""
        for query, value in zip(self.waiting, values(self.bounds, self.question, self.waiting), strict=True):
            if query.aim is not None:
                query.cell.fresh.append((*query.aim[1:], query.aim[2] * value))
            elif not value > 0:
                raise RefusedError(f"a leaf is not proven: its rows are only known to be above {float(value):.6g}")
        self.waiting = []

    def begin(self, group: int) -> None:
        """A cell that is the whole box. At most twice for a group: a search may begin again."""
        self.open = {k: c for k, c in self.open.items() if c.group != group}
        if self.begun.count(group) > 1:
            raise RefusedError(f"group {group} begins again and again")
        self.begun.append(group)
        self._add(Cell(group, self.whole))

    def split(self, name: int, bend: int, unit: int) -> None:
        cell = self.open.pop(name)
        self._add(*(Cell(cell.group, cell.cut(bend, unit, side, 0), cell.share / 2) for side in (-1, 1)))

    def _add(self, *cells: Cell) -> None:
        if (len(self.open) + len(cells)) * self.size > MOST_OPEN:
            raise RefusedError("too many cells are open at once")
        for cell in cells:
            self.open[self.count] = cell
            self.count += 1

    @property
    def left(self) -> float:
        """What share of the box is open, each half of a split counted half."""
        unbegun = self.question.count - len(set(self.begun))
        return (sum(c.share for c in self.open.values()) + unbegun) / self.question.count

    def query(self, cell: Cell, words: list[str], aim: tuple[int, int, int] | None = None) -> Query:
        """What MIX, SLOPES and TRIPLES say."""
        count = len(self.whole)
        if len(words) <= count or (len(words) - 1 - count) % 3:
            raise RefusedError("a line with too few or too many words")
        mix = [number(w) for w in words[0].split(",")]
        if len(mix) != (self.question.groups == cell.group).sum() or min(mix) < 0 or len(mix) > MOST_ROWS:
            raise RefusedError("weights of rows that are negative, too few or too many")
        slopes = [self._levels(word, low.size) for word, (low, _) in zip(words[1 : 1 + count], self.whole, strict=True)]
        rest = words[1 + count :]
        multipliers = [(*self.unit(a, b), number(c)) for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True)]
        return Query(cell, np.array(mix), slopes, multipliers, aim)

    def _levels(self, word: str, size: int) -> Array:
        found = np.frombuffer(("." * size if word == "-" else word).encode(), np.uint8).astype(int) - FIRST
        if len(found) != size or not ((found <= LEVELS) & ((found >= 0) | (found == ord(".") - FIRST))).all():
            raise RefusedError("slopes of another number of units, or outside of 0 to 1")
        return found

    def finish(self) -> None:
        """Raises `RefusedError` unless all cells are proven, those of every group."""
        self.settle()
        if self.open or len(set(self.begun)) < self.question.count:  # not their shares, which underflow
            raise RefusedError(f"a proof by neurons ends with {100 * self.left:.4g} % of its box open")

    def unit(self, bend: str, unit: str) -> tuple[int, int]:
        """Numbers of a rectifier and of one of its units."""
        found = index(bend, len(self.whole))
        return found, index(unit, self.whole[found][0].size)


def values(bounds: Bounds, question: Question, queries: list[Query]) -> Array:
    """What each query proves, `(queries,)`: a lower value of its mix, or of the argument that it aims at times the side."""
    if not queries:
        return np.zeros(0)
    exact, found = bounds.arithmetic, {}
    for bend, place in enumerate(bounds.arguments):
        lows, highs = (np.stack([q.cell.ends[bend][side] for q in queries]) for side in (0, 1))
        multiplier, aimed = np.zeros(lows.shape, lows.dtype), np.zeros(lows.shape, lows.dtype)
        for i, query in enumerate(queries):
            for _, unit, value in (m for m in query.multipliers if m[0] == bend):
                multiplier[i, unit] = exact.scalar(value)
            if query.aim is not None and query.aim[0] == bend:
                aimed[i, query.aim[1]] = query.aim[2]
        own, given = lines(lows, highs, exact), np.stack([q.slopes[bend] for q in queries])
        told = (given >= 0) & (lows < 0) & (highs > 0)
        below = np.where(told, exact.number(given / LEVELS), own.below[:, 0])
        cost, added = np.maximum(multiplier, 0) * highs + np.minimum(multiplier, 0) * lows, multiplier + aimed
        found[place] = Lines(below[:, None], own.base, own.above, own.offset, added[:, None], cost[:, None])
    members = [question.groups == q.cell.group for q in queries]
    rows = [exact.number(q.mix[:, None]) * question.rows[m] for q, m in zip(queries, members, strict=True)]
    ends = [exact.number(q.mix) * question.offsets[m] for q, m in zip(queries, members, strict=True)]
    add = lambda parts: np.stack([np.asarray(p.sum(0), bounds.type) for p in parts])[:, None]  # noqa: E731
    sizes = add([np.abs(r) for r in rows]), add([np.abs(e) for e in ends])
    least = bounds.planes(add(rows), add(ends), found, sizes).least[:, 0]
    return exact.number(exact.outward(least, least)[0])
