"""Lower values of linear functions of a network on boxes, with every rounding error bounded and taken off.

The bound is that of the dual: a row of coefficients walks back from the output. At an affine node it is multiplied by the
matrix; at a rectifier on an interval [l, u] it meets a line below (any slope from 0 to 1) where it is positive and the chord
above where it is negative; at another function lines that enclose it (curves.py); at the input it meets the box. Any slopes
give a valid bound, so it does not matter how slopes are rounded; what matters is that the offset of a line is rounded outward,
and that the row that was computed differs from the exact product by `d` with `|d| <= gamma_n |row| |W|`. On values of size at
most M that costs at most `gamma_n |row| (|W| M)`, and `|W| M` is one vector for each node.

Where `low <= z <= high` is known of a rectifier's argument, `g z <= max(g, 0) high + min(g, 0) low` for any number g, so g may
be added to the row's coefficient of z for that price: a multiplier.

Deployed: a value computed in float32, in any order, fused or not, differs from the exact one by at most
`gamma32_n (|W| M + |b|)` and underflow; the intervals are widened by that much and the row pays for it at every affine node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.curves import enclosed
from ballproof.certificate.checker.network import MOST_USERS, Array, Network, Node, spread

MOST_ROWS = 1000
"""Rows of one group."""

ROOT = 2.0**-100
"""How far weights that are roots may be off, as a share of their size."""

LARGEST32 = 2**127
"""Half of what float32 holds: no sum of terms whose absolute values add up to less overflows, in whatever order."""


@dataclass(frozen=True)
class Planes:
    """For every box and row: `slope · x + offset` is at most the row's value at every x of the box, `least` at most that."""

    slope: Array
    offset: Array
    least: Array


@dataclass(frozen=True)
class Lines:
    """Of a function on boxes, `(boxes, 1 or rows, units)`: slope and offset of the line below and of the one above; the
    multipliers of the rows and what each of them costs."""

    below: Array
    base: Array
    above: Array
    offset: Array
    multiplier: Array | None = None
    cost: Array | None = None


class Bounds:
    """Proven intervals of every node on boxes `(boxes, inputs)`, and lower values of rows at the output."""

    def __init__(self, network: Network, low: Array, high: Array, arithmetic: Arithmetic) -> None:
        self.network, self.arithmetic, self.type = network, arithmetic, low.dtype
        self.low: list[Array] = []
        self.high: list[Array] = []
        self.load: list[Array] = []
        self.slack: list[Array] = []
        self.vanished: Any = 0
        """By box, what underflow may cost a row: each coefficient is off by less than `tiny`, on values of their size."""
        self.lines: dict[int, Lines] = {}
        self.arguments: dict[int, tuple[Array, Array]] = {}
        """By rectifier, the intervals of its arguments."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what overflows is refused
            for place, node in enumerate(network.nodes):
                if node.kind == "input":
                    self._known(low, high)
                elif node.kind == "affine":
                    self._affine(node)
                else:
                    self._function(place, node)
                for ends in (self.low, self.high, self.load, self.slack):
                    arithmetic.settled(ends[place])
                size = self._magnitude(place)
                if arithmetic.deployed and not (arithmetic.scalar(node.peak) * (1 + size + self.load[place]) < LARGEST32).all():
                    raise RefusedError("float32 numbers may overflow on this box")
                self.vanished = self.vanished + MOST_USERS * arithmetic.tiny * (1 + size.sum(1, keepdims=True))

    def _known(self, low: Array, high: Array) -> None:
        zero = np.zeros((1, low.shape[1]), self.type)
        for ends, value in ((self.low, low), (self.high, high), (self.load, zero), (self.slack, zero)):
            ends.append(value)

    def _magnitude(self, place: int) -> Array:
        return np.maximum(np.abs(self.low[place]), np.abs(self.high[place]))

    def _affine(self, node: Node) -> None:
        """Interval arithmetic by middles and radii, rounded outward."""
        exact, peak = self.arithmetic, 1
        middle, radius, load = node.bias[None], 0 * node.bias[None], node.burden[None]
        for part in node.parts:
            low, high = self.low[part.source], self.high[part.source]
            centre = (low + high) * exact.scalar(0.5)
            wide, weight = np.maximum(exact.up(high - centre), exact.up(centre - low)), np.abs(part.weight)
            middle, radius = middle + part.applied(part.weight, centre), radius + part.applied(weight, wide)
            load = load + part.applied(weight, self._magnitude(part.source))
            peak = np.maximum(peak, self._magnitude(part.source).max())
        load = load * exact.slop + exact.tiny
        slack = exact.lost(load, node.steps, exact.scalar(node.peak) * peak)
        slack = slack + load * exact.scalar(ROOT) if node.rooted else slack
        wide = radius + (exact.gamma(4 * node.terms) * load + slack) * exact.slop
        self.low.append(exact.down(middle - exact.up(wide)))
        self.high.append(exact.up(middle + exact.up(wide)))
        self.load.append(load)
        self.slack.append(slack)

    def _function(self, place: int, node: Node) -> None:
        (part,) = node.parts
        low, high = self.low[part.source][:, node.take], self.high[part.source][:, node.take]
        unsettled = (low < 0) & (high > 0) if node.kind == "Relu" else low < high
        open_ = np.flatnonzero(unsettled.any(0))
        source = self.network.nodes[part.source]
        if len(open_) and any(p.source for p in source.parts):  # else the interval is exact already
            found, asked = self._ends(part.source, node.take[open_]), unsettled[:, open_]  # so that no box minds its company
            low[:, open_] = np.where(asked, np.maximum(low[:, open_], found[:, : len(open_)]), low[:, open_])
            high[:, open_] = np.where(asked, np.minimum(high[:, open_], -found[:, len(open_) :]), high[:, open_])
        if bool((low > high).any()):
            raise RefusedError("an interval is empty, which no box can cause")
        if node.kind == "Relu":
            self.arguments[place] = low, high
            self.lines[place] = lines(low, high, self.arithmetic)
            self._known(np.maximum(low, 0), np.maximum(high, 0))
        else:
            least, largest, *own = enclosed(node.kind, low, high, self.arithmetic)
            self.lines[place] = Lines(*(v[:, None] for v in own))
            self._known(least, largest)

    def planes(
        self, rows: Array, offsets: Array, lines: dict[int, Lines] | None = None, sizes: tuple[Array, Array] | None = None
    ) -> Planes:
        """Of `rows (boxes or 1, rows, outputs) · y + offsets (boxes or 1, rows)` on each box.

        lines: of some rectifiers, others than those of the boxes. sizes: where rows and offsets are sums that were rounded,
        those of the absolute values of their terms.
        """
        view, walk = self.network.output, _Sum(self.arithmetic, self.vanished)
        wide = spread(rows, view.index.ravel(), self.network.nodes[view.node].size)
        self._walk({view.node: wide}, view.node, walk, self.lines | (lines or {}))
        walk.add(offsets, np.abs(offsets), 1)
        if sizes is not None:
            wide = spread(sizes[0], view.index.ravel(), self.network.nodes[view.node].size)
            walk.add(0 * sizes[1], sizes[1], MOST_ROWS)
            walk.error(self.arithmetic.gamma(MOST_ROWS) * _dot(wide, self._magnitude(view.node)))
        boxes = max(len(self.low[0]), len(wide), *(len(x.below) for x in (lines or {}).values()), 1)
        slope = np.zeros((boxes, rows.shape[1], self.low[0].shape[1]), self.type)
        slope = slope if walk.slope is None else slope + walk.slope
        offset = walk.lower(boxes, rows.shape[1])
        self._meet_box(slope, walk)
        return Planes(self.arithmetic.settled(slope), offset, walk.lower(boxes, rows.shape[1]))

    def _ends(self, place: int, units: Array) -> Array:
        """Lower values of these coordinates of a node and of their negatives on each box, `(boxes, 2 units)`."""
        node, walk, both = self.network.nodes[place], _Sum(self.arithmetic, self.vanished), np.concatenate([units, units])
        sign = np.repeat([1, -1], len(units))[:, None]
        coefficients: dict[int, Array] = {}
        if node.kind != "affine":
            coefficients[place] = (sign * (both[:, None] == np.arange(node.size)))[None].astype(self.type)
        else:
            walk.add((sign[:, 0] * node.bias[both])[None], np.abs(node.bias[both])[None], 1)
            for part in node.parts:
                _gather(coefficients, part.source, (sign * part.rows(both))[None])
            walk.error(self.slack[place][:, both] * self.arithmetic.slop + self.arithmetic.gamma(0) * self.load[place][:, both])
        self._walk(coefficients, place, walk, self.lines)
        if walk.slope is not None:
            self._meet_box(walk.slope, walk)
        return walk.lower(len(self.low[0]), len(both))

    def _walk(self, coefficients: dict[int, Array], place: int, walk: _Sum, lines: dict[int, Lines]) -> None:
        """Coefficients of nodes up to a place pulled back to the input."""
        for at in range(place, -1, -1):
            node, row, known = self.network.nodes[at], coefficients.pop(at, None), lines.get(at)
            if row is None and (known is None or known.multiplier is None):
                continue
            if node.kind == "input":
                walk.slope = row
            elif known is None:
                assert row is not None
                self._pull_affine(at, node, row, coefficients, walk)
            else:
                row = np.zeros((1, 1, node.size), self.type) if row is None else row
                self._pull_function(node, row, coefficients, walk, known)

    def _meet_box(self, row: Array, walk: _Sum) -> None:
        value = _dot(np.maximum(row, 0), self.low[0]) + _dot(np.minimum(row, 0), self.high[0])
        walk.add(value, _dot(np.abs(row), self._magnitude(0)), 2 * row.shape[2])

    def _pull_affine(self, at: int, node: Node, row: Array, coefficients: dict[int, Array], walk: _Sum) -> None:
        size, slop = np.abs(row), self.arithmetic.slop
        walk.add(row @ node.bias, size @ np.abs(node.bias), row.shape[2])
        walk.error(slop * _dot(size, self.arithmetic.gamma(row.shape[2]) * self.load[at] + slop * self.slack[at]))
        for part in node.parts:
            _gather(coefficients, part.source, part.pulled(row))

    def _pull_function(self, node: Node, row: Array, coefficients: dict[int, Array], walk: _Sum, known: Lines) -> None:
        (part,) = node.parts
        lost = _dot(np.minimum(row, 0), known.offset[:, 0])
        if node.kind == "Relu":  # no offset is negative, and the line below has none
            walk.add(lost, -lost, row.shape[2])
        else:
            size, up = np.abs(row), np.maximum(row, 0)
            whole = np.maximum(np.abs(known.base), np.abs(known.offset))[:, 0]
            walk.add(lost + _dot(up, known.base[:, 0]), _dot(size, whole), 2 * row.shape[2])
        found = np.where(row > 0, known.below, known.above)
        found *= row
        size = np.abs(found)
        if known.multiplier is not None and known.cost is not None:
            found, size = found + known.multiplier, size + np.abs(known.multiplier)
            walk.add(-known.cost.sum(2), np.abs(known.cost).sum(2), row.shape[2])
        values = self._magnitude(part.source)
        walk.error(self.arithmetic.gamma(row.shape[2]) * _dot(spread(size, node.take, part.size), values))
        _gather(coefficients, part.source, spread(found, node.take, part.size))


def _gather(coefficients: dict[int, Array], place: int, row: Array) -> None:
    coefficients[place] = coefficients[place] + row if place in coefficients else row


class _Sum:
    """A sum of terms, what it may lack, and the size of what was added."""

    def __init__(self, arithmetic: Arithmetic, wrong: Any) -> None:
        self.arithmetic = arithmetic
        self.value: Any = 0
        self.wrong = wrong
        self.size: Any = 0
        self.slope: Array | None = None
        self.count = 4

    def add(self, value: Array, size: Array, terms: int) -> None:
        """A sum of `terms` products whose absolute values add up to `size`."""
        self.value, self.size, self.count = self.value + value, self.size + size, self.count + 2
        self.wrong = self.wrong + self.arithmetic.gamma(terms) * size

    def error(self, amount: Array) -> None:
        self.wrong = self.wrong + amount

    def lower(self, boxes: int, rows: int) -> Array:
        exact = self.arithmetic
        found = self.value - (self.wrong + exact.gamma(self.count) * self.size) * exact.slop
        return np.broadcast_to(exact.down(np.asarray(found)), (boxes, rows))


def lines(low: Array, high: Array, arithmetic: Arithmetic) -> Lines:
    """Of a rectifier: the chord above on `[low, high]` with its offset rounded up, and the line below of slope 0 or 1."""
    on, off = low >= 0, high <= 0
    bends = ~on & ~off
    slope = np.where(on, 1, np.where(off, 0, arithmetic.shorter(high / np.where(bends, high - low, 1))))
    below = np.where(bends, high > -low, slope)
    left = arithmetic.up(slope * -low)
    right = arithmetic.up(high - arithmetic.down(slope * high))
    offset = np.where(bends, np.maximum(np.maximum(left, right), 0), 0)
    return Lines(*(np.asarray(a, low.dtype)[:, None] for a in (below, 0 * offset, slope, offset)))


def _dot(rows: Array, values: Array) -> Array:
    """`rows (boxes or 1, rows, n) · values (boxes or 1, n)`, `(boxes or 1, rows)`."""
    found: Array = (rows[0] @ values.T).T if len(rows) == 1 else (rows @ values[:, :, None])[:, :, 0]
    return found
