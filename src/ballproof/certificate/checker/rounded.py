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

from ballproof.certificate.checker.arithmetic import Arithmetic, Array, RefusedError
from ballproof.certificate.checker.curves import enclosed
from ballproof.certificate.checker.network import MOST_USERS, Network, Node, spread

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
    multiplier: Any = None
    cost: Any = None


AT_ONCE = 2**17
"""Coefficients of one node that travel together: more are slower, for they leave the cache."""


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
                size = self.magnitude(place)
                if arithmetic.deployed and not (arithmetic.scalar(node.peak) * (1 + size + self.load[place]) < LARGEST32).all():
                    raise RefusedError("float32 numbers may overflow on this box")
                self.vanished = self.vanished + MOST_USERS * arithmetic.tiny * (1 + size.sum(1, keepdims=True))

    def _known(self, *values: Array) -> None:
        zero = np.zeros((1, values[0].shape[1]), self.type)
        for ends, value in zip((self.low, self.high, self.load, self.slack), (*values, zero, zero), strict=False):
            ends.append(self.arithmetic.settled(value))

    def magnitude(self, place: int) -> Array:
        """The largest size of each number of a node, by box."""
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
            load = load + part.applied(weight, self.magnitude(part.source))
            peak = np.maximum(peak, self.magnitude(part.source).max())
        load = load * exact.slop + exact.tiny
        slack = exact.lost(load, node.steps, exact.scalar(node.peak) * peak)
        slack = slack + load * exact.scalar(ROOT) if node.rooted else slack
        wide = radius + (exact.gamma(4 * node.terms) * load + slack) * exact.slop
        self._known(exact.down(middle - exact.up(wide)), exact.up(middle + exact.up(wide)), load, slack)

    def _function(self, place: int, node: Node) -> None:
        (part,), take = node.parts, node.parts[0].places.ravel()
        low, high = self.low[part.source][:, take], self.high[part.source][:, take]
        unsettled = (low < 0) & (high > 0) if node.kind == "Relu" else low < high
        open_, source = np.flatnonzero(unsettled.any(0)), self.network.nodes[part.source]
        if len(open_) and source.kind == "affine" and any(p.source for p in source.parts):  # else no row knows more
            open_ = open_[np.argsort(take[open_] % source.parts[0].places.shape[1])]  # neighbours together meet fewer windows
            rows = (1 * (take[open_, None] == np.arange(source.size))).astype(self.type)
            parts = np.array_split(np.stack([rows, -rows], 1).reshape(1, -1, source.size), 1 + rows.size // AT_ONCE, 1)
            found = np.concatenate([self._planes(part.source, r, 0 * r[:, :, 0], {}).least for r in parts], 1)
            # only where a box has them open itself, so that no box minds its company
            low[:, open_] = np.where(unsettled[:, open_], np.maximum(low[:, open_], found[:, ::2]), low[:, open_])
            high[:, open_] = np.where(unsettled[:, open_], np.minimum(high[:, open_], -found[:, 1::2]), high[:, open_])
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

    def planes(self, rows: Array, offsets: Array, lines: dict[int, Lines] | None = None) -> Planes:
        """Of `rows (boxes or 1, rows, outputs) · y + offsets (boxes or 1, rows)` on each box.

        lines: of some rectifiers, others than those of the boxes.
        """
        view = self.network.output
        wide = spread(rows, view.index.ravel(), self.network.nodes[view.node].size)
        return self._planes(view.node, wide, offsets, lines or {})

    def _planes(self, place: int, rows: Array, offsets: Array, lines: dict[int, Lines]) -> Planes:
        walk = _Walk(self, self.lines | lines)
        for own in lines:  # even if no row meets them, their multipliers cost
            walk.meet(own, np.zeros((1, 1, self.network.nodes[own].size), self.type))
        walk.meet(place, rows)
        walk.add(offsets, np.abs(offsets), 1)
        slope = self.arithmetic.settled(walk.pulled(place))
        offset = walk.lower()
        return Planes(np.broadcast_to(slope, (*offset.shape, slope.shape[2])), offset, walk.least(slope))


class _Walk:
    """Rows on their way back to the input: coefficients by node, the sum of what they left on the way, what it may lack, and
    the size of what was added."""

    def __init__(self, bounds: Bounds, lines: dict[int, Lines]) -> None:
        self.bounds, self.lines, self.exact = bounds, lines, bounds.arithmetic
        self.rows: dict[int, Array] = {}
        self.value: Any = 0
        self.size: Any = 0
        self.wrong, self.count = bounds.vanished, 4

    def meet(self, place: int, row: Array) -> None:
        """More coefficients of a node."""
        self.rows[place] = self.rows[place] + row if place in self.rows else row

    def add(self, value: Array, size: Array, terms: int, wrong: Any = 0) -> None:
        """A sum of `terms` products whose absolute values add up to `size`, and an error."""
        self.value, self.size, self.count = self.value + value, self.size + size, self.count + 2
        self.wrong = self.wrong + wrong + self.exact.gamma(terms) * size

    def lower(self) -> Array:
        """At most the sum, `(boxes, rows)`."""
        wrong = (self.wrong + self.exact.gamma(self.count) * self.size) * self.exact.slop
        return self.exact.down(np.asarray(self.value - wrong))

    def least(self, row: Array) -> Array:
        """At most the sum and what these coefficients of the input give in the box."""
        low, high = self.bounds.low[0], self.bounds.high[0]
        value = _dot(np.maximum(row, 0), low) + _dot(np.minimum(row, 0), high)
        self.add(value, _dot(np.abs(row), self.bounds.magnitude(0)), 2 * row.shape[2])
        return self.lower()

    def pulled(self, place: int) -> Array:
        """The coefficients of the input, from those of the nodes up to a place."""
        nodes = self.bounds.network.nodes
        for at in range(place, 0, -1):
            row = self.rows.pop(at, None)
            if row is not None and at in self.lines:
                self._function(nodes[at], row, self.lines[at])
            elif row is not None:
                self._affine(at, nodes[at], row)
        return self.rows.get(0, np.zeros((1, 1, nodes[0].size), self.bounds.type))

    def _affine(self, at: int, node: Node, row: Array) -> None:
        size, slop = np.abs(row), self.exact.slop
        lost = self.exact.gamma(row.shape[2]) * self.bounds.load[at] + slop * self.bounds.slack[at]
        self.add(row @ node.bias, size @ np.abs(node.bias), row.shape[2], slop * _dot(size, lost))
        for part in node.parts:
            self.meet(part.source, part.pulled(row))

    def _function(self, node: Node, row: Array, known: Lines) -> None:
        (part,), base, offset = node.parts, known.base[:, 0], known.offset[:, 0]
        left = _dot(np.maximum(row, 0), base) + _dot(np.minimum(row, 0), offset)
        self.add(left, _dot(np.abs(row), np.maximum(np.abs(base), np.abs(offset))), 2 * row.shape[2])
        found = np.where(row > 0, known.below, known.above) * row
        size = np.abs(found)
        if known.multiplier is not None:
            found, size = found + known.multiplier, size + np.abs(known.multiplier)
            self.add(-known.cost.sum(2), np.abs(known.cost).sum(2), row.shape[2])
        found, size = (spread(v, part.places.ravel(), part.size) for v in (found, size))
        self.wrong = self.wrong + self.exact.gamma(row.shape[2]) * _dot(size, self.bounds.magnitude(part.source))
        self.meet(part.source, found)


def lines(low: Array, high: Array, arithmetic: Arithmetic) -> Lines:
    """Of a rectifier: the chord above on `[low, high]` with its offset rounded up, and the line below of slope 0 or 1."""
    on, off = low >= 0, high <= 0
    bends = ~on & ~off
    slope = np.where(on, 1, np.where(off, 0, arithmetic.number(np.asarray(high / np.where(bends, high - low, 1), np.float64))))
    below = np.where(bends, high > -low, slope)
    left = arithmetic.up(slope * -low)
    right = arithmetic.up(high - arithmetic.down(slope * high))
    offset = np.where(bends, np.maximum(np.maximum(left, right), 0), 0)
    return Lines(*(np.asarray(a, low.dtype)[:, None] for a in (below, 0 * offset, slope, offset)))


def _dot(rows: Array, values: Array) -> Array:
    """`rows (boxes or 1, rows, n) · values (boxes or 1, n)`, `(boxes or 1, rows)`."""
    found: Array = (rows[0] @ values.T).T if len(rows) == 1 else (rows @ values[:, :, None])[:, :, 0]
    return found
