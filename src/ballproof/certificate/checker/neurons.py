"""Proofs that split neurons: the rest of a box's lines once one of these is met.

    g                  one child for each group of rows, in their order
    n BEND UNIT        children: the argument of this unit of rectifier number BEND is <= 0, and >= 0
    q MIX SLOPES TRIPLES    proven: the MIX of the group's rows is positive wherever the splits hold

MIX: weights >= 0 of the group's rows, with commas. SLOPES: a word for each rectifier, a character for each unit: the slope of
its line below is (code - 48) / 64, from `0` to `p`; `.` is the slope 0 or 1 that the checker takes by itself. TRIPLES: BEND,
UNIT and multiplier. Intervals are those of the whole box, cut by the splits alone. Any slopes and multipliers prove what they
prove; bad ones only fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.network import Array
from ballproof.certificate.checker.rounded import MOST_ROWS, Bounds, Lines, lines

BATCH = 64
FIRST, LEVELS = 48, 64

Splits = tuple[tuple[int, int, bool], ...]
"""Bend, unit, and whether its argument is >= 0."""


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


@dataclass(frozen=True)
class Leaf:
    """mix: weights of the group's rows. slopes: by bend, in 64ths, negative where none is given."""

    splits: Splits
    mix: Array
    rows: Array
    offsets: Array
    slopes: list[Array]
    multipliers: list[tuple[int, int, float]]


def reading(bounds: Bounds, text: Sequence[str], question: Question) -> list[Leaf]:
    """The leaves of one proof. Raises `RefusedError` where the lines are no whole tree of splits of open units."""
    bends = list(bounds.arguments.values())
    found: list[Leaf] = []
    stack: list[tuple[int, Splits]] = [(0 if question.count == 1 else -1, ())]
    for line in text:
        if not stack:
            raise RefusedError("a proof has more lines than leaves")
        group, splits = stack.pop()
        word, *rest = line.split() or [""]
        if word == "g" and not rest and group < 0:
            stack += [(g, splits) for g in reversed(range(question.count))]
        elif word == "n" and len(rest) == 2:
            bend = index(rest[0], len(bends))
            low, high = bends[bend]
            unit = index(rest[1], low.shape[1])
            if not low[0, unit] < 0 < high[0, unit] or any(s[:2] == (bend, unit) for s in splits):
                raise RefusedError(f"a split of unit {unit}, which is not open")
            stack += [(group, (*splits, (bend, unit, above))) for above in (True, False)]
        elif word == "q" and len(rest) > len(bends) and (len(rest) - 1 - len(bends)) % 3 == 0 and group >= 0:
            found.append(read_leaf(splits, rest, bends, question, group))
        else:
            raise RefusedError(f"`{line[:40]}` is no line of a proof by neurons")
    if stack:
        raise RefusedError(f"a proof ends with {len(stack)} leaves open: it is partial")
    return found


def read_leaf(splits: Splits, words: list[str], bends: list[tuple[Array, Array]], question: Question, group: int) -> Leaf:
    """What a line says of a leaf of this group where these splits hold. bends: the intervals of each rectifier's arguments."""
    mix, rows = [number(w) for w in words[0].split(",")], np.flatnonzero(question.groups == group)
    if len(mix) != len(rows) or min(mix) < 0 or len(mix) > MOST_ROWS:
        raise RefusedError("weights of rows that are negative, too few or too many")
    slopes = []
    for word, (low, _) in zip(words[1:], bends, strict=False):
        levels = np.frombuffer(word.encode(), np.uint8).astype(int) - FIRST
        if len(levels) != low.shape[1] or not ((levels <= LEVELS) & ((levels >= 0) | (levels == ord(".") - FIRST))).all():
            raise RefusedError("slopes of another number of units, or outside of 0 to 1")
        slopes.append(levels)
    rest, multipliers = words[1 + len(bends) :], []
    for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        bend = index(a, len(bends))
        multipliers.append((bend, index(b, bends[bend][0].shape[1]), number(c)))
    return Leaf(splits, np.array(mix), question.rows[rows], question.offsets[rows], slopes, multipliers)


def prove(bounds: Bounds, text: Sequence[str], question: Question) -> None:
    """Raises `RefusedError` unless the lines prove that some row of each group is positive all over the one box."""
    leaves = reading(bounds, text, question)
    for start in range(0, len(leaves), BATCH):
        found = values(bounds, leaves[start : start + BATCH])
        if not (found > 0).all():
            at = int((~(found > 0)).argmax())
            raise RefusedError(f"leaf {start + at} is not proven: its rows are only known to be above {float(found[at]):.6g}")


def values(bounds: Bounds, leaves: list[Leaf]) -> Array:
    """Lower values of the rows' mixes wherever the splits of each leaf hold, `(leaves,)`."""
    exact, found = bounds.arithmetic, {}
    for bend, (place, (low, high)) in enumerate(bounds.arguments.items()):
        lows, highs = np.repeat(low, len(leaves), 0), np.repeat(high, len(leaves), 0)
        multiplier = np.zeros(lows.shape, lows.dtype)
        for i, leaf in enumerate(leaves):
            for _, unit, above in (s for s in leaf.splits if s[0] == bend):
                (lows if above else highs)[i, unit] = 0
            for _, unit, value in (m for m in leaf.multipliers if m[0] == bend):
                multiplier[i, unit] = exact.scalar(value)
        own, given = lines(lows, highs, exact), np.stack([leaf.slopes[bend] for leaf in leaves])
        told = (given >= 0) & (lows < 0) & (highs > 0)
        below = np.where(told, exact.number(given / LEVELS), own.below[:, 0])
        cost = np.maximum(multiplier, 0) * highs + np.minimum(multiplier, 0) * lows
        found[place] = Lines(below[:, None], own.base, own.above, own.offset, multiplier[:, None], cost[:, None])
    rows = [exact.number(leaf.mix[:, None]) * leaf.rows for leaf in leaves]
    ends = [exact.number(leaf.mix) * leaf.offsets for leaf in leaves]
    add = lambda parts: np.stack([np.asarray(p.sum(0), bounds.type) for p in parts])[:, None]  # noqa: E731
    sizes = add([np.abs(r) for r in rows]), add([np.abs(e) for e in ends])
    return bounds.planes(add(rows), add(ends), found, sizes).least[:, 0]
