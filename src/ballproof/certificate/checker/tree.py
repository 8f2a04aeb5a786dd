"""The proof of a certificate: boxes that are clipped and split, and at the end proven, one by one.

Three kinds of lines, in depth-first order with the lower half first, speak of the box on top of the stack:

    p           proven: of every group of rows one is positive on the box, or nothing is left of the box when it is clipped
    s DIM AT    split along input DIM at AT, a hexadecimal float: `x <= AT` and `x >= AT` cover the box
    k DIM AT    clipped to where every row of some group may be at most 0, by the rows' own planes; then split

Any other line begins a proof of the box by splits of neurons (neurons.py). A split needs no trust: both halves are the box's
own. A clip is made anew here. So the lines can only fail to prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ballproof.certificate.checker.arithmetic import TINY, UNIT, Arithmetic, RefusedError
from ballproof.certificate.checker.network import Array, Network
from ballproof.certificate.checker.neurons import Question, index, number, prove
from ballproof.certificate.checker.rounded import Bounds, Planes

BATCH = 256
PROVEN, SPLIT, CLIP, NEURONS = 0, 1, 2, 3


@dataclass
class Tree:
    """By place in the file: what happens to the box, along which input, where, and the place of its second child.

    The first child is at the next place. proofs: by place, the lines of a proof by neurons.
    """

    kind: Array
    axis: Array
    at: Array
    other: Array
    proofs: dict[int, list[str]]

    def __len__(self) -> int:
        return len(self.kind) + sum(len(p) - 1 for p in self.proofs.values())


def read_tree(lines: Iterable[str], inputs: int) -> Tree:
    """The lines of one tree; raises `RefusedError` where they are no whole tree."""
    found: list[tuple[int, int, float]] = []
    others: list[int] = []
    waiting: list[tuple[int, float]] = []  # splits whose second half comes later, and what share of the box it is, by halves
    proofs: dict[int, list[str]] = {}
    open_, share, told = True, 1.0, 0.0
    rest = iter(lines)
    for line in rest:
        if not open_:
            raise RefusedError("a tree has more lines than boxes")
        if line.startswith("a"):
            proofs[len(found)] = own = _proof(line, rest)
            if own[-1] == "x":
                continue
            found.append((NEURONS, 0, 0.0))
        else:
            found.append(_decision(line, inputs))
        others.append(-1)
        if found[-1][0] in (SPLIT, CLIP):
            share /= 2
            waiting.append((len(found) - 1, share))
        else:
            told += share
            open_ = bool(waiting)
            if waiting:
                place, share = waiting.pop()
                others[place] = len(found)
    if open_:
        raise RefusedError(
            f"the proof is partial: a tree ends with {100 * (1 - told):.4g} % of its box open, counted by halves"
        )
    kind, axis, at = (np.array(v) for v in zip(*found, strict=True))
    return Tree(kind, axis, at, np.array(others), proofs)


def _proof(first: str, rest: Iterator[str]) -> list[str]:
    """The lines of a proof by neurons, up to its last one, or as many as there are."""
    own = [first]
    while own[-1] not in ("e", "x") and (line := next(rest, None)) is not None:
        own.append(line)
    return own


def _decision(line: str, inputs: int) -> tuple[int, int, float]:
    """What a line says of a box: kind, axis and place."""
    word, *rest = line.split() or [""]
    if word == "p" and not rest:
        return PROVEN, 0, 0.0
    if word in ("s", "k") and len(rest) == 2:
        return SPLIT if word == "s" else CLIP, index(rest[0], inputs), number(rest[1])
    raise RefusedError(f"`{word[:40]}` begins no line of a tree")


def replay(network: Network, low: Array, high: Array, question: Question, tree: Tree, arithmetic: Arithmetic) -> None:
    """Raises `RefusedError` unless every box of the tree is proven. low, high: `(inputs,)`, the root."""
    level = np.array([0])
    lows, highs = low[None], high[None]
    while len(level):
        after: list[tuple[Array, Array, Array]] = []
        for start in range(0, len(level), BATCH):
            part = slice(start, start + BATCH)
            after += _step(network, level[part], lows[part], highs[part], question, tree, arithmetic)
        if not after:
            return
        level, lows, highs = (np.concatenate(each) for each in zip(*after, strict=True))


def _step(
    network: Network, places: Array, low: Array, high: Array, question: Question, tree: Tree, arithmetic: Arithmetic
) -> list[tuple[Array, Array, Array]]:
    """The children of these boxes: their places and ends."""
    kind, low, high = tree.kind[places], low.copy(), high.copy()
    asked = np.flatnonzero((kind == PROVEN) | (kind == CLIP))
    if len(asked):
        bounds = Bounds(network, low[asked], high[asked], arithmetic)
        planes = bounds.planes(question.rows[None], question.offsets[None])
        below, above, empty = clipped(low[asked], high[asked], planes, question, arithmetic)
        wrong = np.flatnonzero((kind[asked] == PROVEN) & ~empty)
        if len(wrong):
            known = float(planes.least[wrong[0]].max())
            raise RefusedError(f"box {places[asked][wrong[0]]} is not proven: its rows are only known to be above {known:.6g}")
        low[asked], high[asked] = below, above
    for i in np.flatnonzero(kind == NEURONS):
        prove(Bounds(network, low[i : i + 1], high[i : i + 1], arithmetic), tree.proofs[int(places[i])], question)
    cut = (kind == SPLIT) | (kind == CLIP)
    if not cut.any():
        return []
    places, low, high = places[cut], low[cut], high[cut]
    at, axis = arithmetic.number(tree.at[places][:, None]), tree.axis[places][:, None]
    value = np.clip(at, np.take_along_axis(low, axis, 1), np.take_along_axis(high, axis, 1))
    below, above = high.copy(), low.copy()
    np.put_along_axis(below, axis, value, 1)
    np.put_along_axis(above, axis, value, 1)
    return [(places + 1, low, below), (tree.other[places], above, high)]


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
