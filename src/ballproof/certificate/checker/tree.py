"""The proof of a certificate: boxes that are clipped and split, and at the end proven, one by one.

Three kinds of lines, in depth-first order with the lower half first, speak of the box on top of the stack:

    p           proven: of every group of rows one is positive on the box, or nothing is left of the box when it is clipped
    s DIM AT    split along input DIM at AT, a hexadecimal float: `x <= AT` and `x >= AT` cover the box
    k DIM AT    clipped to where every row of some group may be at most 0, by the rows' own planes; then split

A split needs no trust: both halves are the box's own. A clip is made anew here. So the lines can only fail to prove.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ballproof.certificate.checker.errors import RefusedError
from ballproof.certificate.checker.network import Network
from ballproof.certificate.checker.rounded import TINY, UNIT, Bounds, Planes

Array = np.ndarray[Any, np.dtype[Any]]

BATCH = 256
PROVEN, SPLIT, CLIP = 0, 1, 2


@dataclass
class Tree:
    """By place in the file: what happens to the box, along which input, where, and the place that its first child has.

    The second child of a split is `other`.
    """

    kind: Array
    axis: Array
    at: Array
    other: Array

    def __len__(self) -> int:
        return len(self.kind)


def read_tree(lines: Iterable[str], inputs: int) -> Tree:
    """The lines of one tree; raises `RefusedError` where they are no whole tree."""
    found: list[tuple[int, int, float]] = []
    others: list[int] = []
    waiting: list[int] = []
    open_ = True
    for line in lines:
        if not open_:
            raise RefusedError("a tree has more lines than boxes")
        word, *rest = line.split() or [""]
        if word in ("s", "k") and len(rest) == 2:
            waiting.append(len(found))
            found.append((SPLIT if word == "s" else CLIP, _axis(rest[0], inputs), _number(rest[1])))
        elif word == "p" and not rest:
            found.append((PROVEN, 0, 0.0))
        else:
            raise RefusedError(f"`{line[:40]}` is no line of a tree")
        others.append(-1)
        if word == "p":
            open_ = bool(waiting)
            if waiting:
                others[waiting.pop()] = len(found)
    if open_:
        raise RefusedError(f"a tree ends with {len(waiting) + 1} boxes open: the proof is partial")
    return Tree(*(np.array(v) for v in (*zip(*found, strict=True), others)))


def _axis(word: str, inputs: int) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 9 or int(word) >= inputs:
        raise RefusedError(f"a split along input `{word[:20]}` of {inputs}")
    return int(word)


def _number(word: str) -> float:
    try:
        found = float.fromhex(word)
    except (ValueError, OverflowError):
        raise RefusedError(f"a split at `{word[:20]}`, which is no number") from None
    if not np.isfinite(found):
        raise RefusedError(f"a split at {word[:20]}")
    return found


@dataclass(frozen=True)
class Question:
    """The rows `(rows, outputs)` with offsets, of which some group must not hold; groups: by row, 0 .. groups - 1."""

    rows: Array
    offsets: Array
    groups: Array


def replay(network: Network, low: Array, high: Array, question: Question, tree: Tree, deployed: bool) -> None:
    """Raises `RefusedError` unless every box of the tree is proven. low, high: `(inputs,)`, the root."""
    level = np.array([0])
    lows, highs = low[None], high[None]
    while len(level):
        after: list[tuple[Array, Array, Array]] = []
        for start in range(0, len(level), BATCH):
            part = slice(start, start + BATCH)
            after += _step(network, level[part], lows[part], highs[part], question, tree, deployed)
        if not after:
            return
        level, lows, highs = (np.concatenate(each) for each in zip(*after, strict=True))


def _step(
    network: Network, places: Array, low: Array, high: Array, question: Question, tree: Tree, deployed: bool
) -> list[tuple[Array, Array, Array]]:
    """The children of these boxes: their places and ends."""
    kind, low, high = tree.kind[places], low.copy(), high.copy()
    asked = np.flatnonzero(kind != SPLIT)
    if len(asked):
        planes = Bounds(network, low[asked], high[asked], deployed).planes(question.rows, question.offsets)
        below, above, empty = clipped(low[asked], high[asked], planes, question)
        wrong = np.flatnonzero((kind[asked] == PROVEN) & ~empty)
        if len(wrong):
            known = planes.least[wrong[0]].max()
            raise RefusedError(f"box {places[asked][wrong[0]]} is not proven: its rows are only known to be above {known:.6g}")
        low[asked], high[asked] = below, above
    cut = kind != PROVEN
    if not cut.any():
        return []
    places, low, high = places[cut], low[cut], high[cut]
    at, axis = tree.at[places][:, None], tree.axis[places][:, None]
    value = np.clip(at, np.take_along_axis(low, axis, 1), np.take_along_axis(high, axis, 1))
    below, above = high.copy(), low.copy()
    np.put_along_axis(below, axis, value, 1)
    np.put_along_axis(above, axis, value, 1)
    return [(places + 1, low, below), (tree.other[places], above, high)]


def refuted(least: Array, question: Question) -> Array:
    """Whether some row of each group is positive all over the box, `(boxes, groups)`."""
    found = np.zeros((len(least), int(question.groups.max()) + 1), bool)
    for row, group in enumerate(question.groups):
        found[:, group] |= least[:, row] > 0
    return found


def clipped(low: Array, high: Array, planes: Planes, question: Question) -> tuple[Array, Array, Array]:
    """Boxes that hold every point at which all rows of some group are at most 0, and which of them hold none.

    One without any such point is returned as a point of it.
    On a violation `slope · x + offset <= 0`, so `slope_d x_d <= -offset - (the least of the other terms)`.
    """
    gone = refuted(planes.least, question)
    wholes = np.full_like(low, np.inf), np.full_like(high, -np.inf)
    for group in range(gone.shape[1]):
        own = low, high
        for row in np.flatnonzero(question.groups == group):
            own = _cut(*own, planes.slope[:, row], planes.offset[:, row])
        alive = ~gone[:, group] & (own[0] <= own[1]).all(1)
        wholes[0][alive] = np.minimum(wholes[0][alive], own[0][alive])
        wholes[1][alive] = np.maximum(wholes[1][alive], own[1][alive])
    empty: Array = np.asarray((wholes[0] > wholes[1]).any(1))
    wholes[0][empty], wholes[1][empty] = low[empty], low[empty]
    return *wholes, empty


def _cut(low: Array, high: Array, slope: Array, offset: Array) -> tuple[Array, Array]:
    """The part of each box on which one plane may be at most 0; ends cross where there is none."""
    terms = np.minimum(slope * low, slope * high)
    size = np.abs(slope) * np.maximum(np.abs(low), np.abs(high))
    wrong = 4 * (slope.shape[1] + 4) * UNIT * (size.sum(1) + np.abs(offset)) + TINY
    rest = (terms.sum(1) + offset - wrong)[:, None] - terms  # at most the least of all the other terms and the offset
    rest = rest - 4 * UNIT * np.abs(terms)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        reach = -rest / slope
        up, down = (
            np.nextafter(reach + np.abs(reach) * 4 * UNIT, np.inf),
            np.nextafter(reach - np.abs(reach) * 4 * UNIT, -np.inf),
        )
    ends = np.where(slope > 0, np.minimum(high, up), high), np.where(slope < 0, np.maximum(low, down), low)
    return np.where(np.isnan(ends[1]), low, ends[1]), np.where(np.isnan(ends[0]), high, ends[0])
