"""Lower values of linear functions of a network on boxes, in float64, with every rounding error bounded and taken off.

The bound is that of the dual: a row of coefficients walks back from the output. At an affine node it is multiplied by the
matrix; at a rectifier on an interval [l, u] it meets a line below (slope 0 or 1) where it is positive and the chord above where
it is negative; at the input it meets the box. Any slopes give a valid bound, so it does not matter how slopes are rounded; what
matters is that the offset of a line is rounded outward, and that the row that was computed differs from the exact product by
`d` with `|d| <= gamma_n |row| |W|`, whatever the order of summation (Higham 2002, section 3.1). On values of size at most M
that costs at most `gamma_n |row| (|W| M)`, and `|W| M` is one vector for each node.

Deployed mode: a value computed in float32, in any order, fused or not, differs from the exact one by at most
`gamma32_n (|W| M + |b|)` and underflow; the intervals are widened by that much and the row pays for it at every affine node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ballproof.certificate.checker.errors import RefusedError
from ballproof.certificate.checker.network import Network, Node

Array = np.ndarray[Any, np.dtype[Any]]

UNIT, UNIT32 = 2.0**-53, 2.0**-24
TINY, TINY32 = 2.0**-1000, 2.0**-149
"""What underflow may cost one operation; the first is far more than float64 needs, and far less than any margin."""

SLOP = 1 + 2.0**-20
"""Sums of error terms are themselves rounded, by less than this factor up to 2^32 terms."""

MORE = 16
"""Roundings beyond those of a sum's own terms: scaling, and adding up what several users of a node send back."""


def gamma(count: int, unit: float = UNIT) -> float:
    """An upper value of `n u / (1 - n u)`."""
    return SLOP * count * unit / (1 - count * unit)


@dataclass(frozen=True)
class Planes:
    """For every box and row: `slope · x + offset` is at most the row's value at every x of the box, `least` at most that."""

    slope: Array
    offset: Array
    least: Array


class Bounds:
    """Proven intervals of every node on boxes `(boxes, inputs)`, and lower values of rows at the output."""

    def __init__(self, network: Network, low: Array, high: Array, deployed: bool = False) -> None:
        self.network, self.deployed = network, deployed
        self.low: list[Array] = []
        self.high: list[Array] = []
        self.load: list[Array] = []
        self.slack: list[Array] = []
        self.lines: dict[int, tuple[Array, Array, Array]] = {}
        bends = False
        for place, node in enumerate(network.nodes):
            if node.kind == "input":
                self._known(low, high)
            elif node.kind == "affine":
                self._affine(node)
            else:
                self._rectifier(place, node, bends)
                bends = True
        if not all(np.isfinite(ends).all() for ends in (*self.low, *self.high)):
            raise RefusedError("numbers overflow on this box")

    def _known(self, low: Array, high: Array) -> None:
        self.low.append(low)
        self.high.append(high)
        self.load.append(np.zeros((1, low.shape[1])))
        self.slack.append(np.zeros((1, low.shape[1])))

    def _magnitude(self, place: int) -> Array:
        return np.maximum(np.abs(self.low[place]), np.abs(self.high[place]))

    def _affine(self, node: Node) -> None:
        """Interval arithmetic, rounded outward."""
        assert node.bias is not None
        low, high, load = node.bias[None], node.bias[None], np.abs(node.bias)[None]
        for part in node.parts:
            below, above, size = self.low[part.source], self.high[part.source], self._magnitude(part.source)
            if part.matrix is not None:
                up, down, whole = part.signed
                low, high = low + (below @ up + above @ down), high + (above @ up + below @ down)
                load = load + size @ whole
            else:
                assert part.scale is not None
                ends = part.scale * below[:, part.take], part.scale * above[:, part.take]
                low, high = low + np.minimum(*ends), high + np.maximum(*ends)
                load = load + np.abs(part.scale) * size[:, part.take]
        load = load * SLOP + TINY
        error = gamma(2 * max((self.network.nodes[p.source].size for p in node.parts), default=0) + MORE) * load
        slack = (
            gamma(node.terms + len(node.parts) + 1, UNIT32) * load * SLOP + (node.terms + 2) * TINY32
            if self.deployed
            else 0 * load
        )
        self.low.append(_below(low - (error + slack) * SLOP))
        self.high.append(_above(high + (error + slack) * SLOP))
        self.load.append(load)
        self.slack.append(slack)

    def _rectifier(self, place: int, node: Node, bends: bool) -> None:
        (part,) = node.parts
        low, high = self.low[part.source][:, part.take], self.high[part.source][:, part.take]
        unsettled = (low < 0) & (high > 0)
        open_ = np.flatnonzero(unsettled.any(0))
        if bends and len(open_):
            assert part.take is not None
            found, asked = self._ends(part.source, part.take[open_]), unsettled[:, open_]  # so that no box minds its company
            low[:, open_] = np.where(asked, np.maximum(low[:, open_], found[:, : len(open_)]), low[:, open_])
            high[:, open_] = np.where(asked, np.minimum(high[:, open_], -found[:, len(open_) :]), high[:, open_])
        self.lines[place] = _lines(low, high)
        self._known(np.maximum(low, 0), np.maximum(high, 0))

    def planes(self, rows: Array, offsets: Array) -> Planes:
        """Of `rows (rows, outputs) · y + offsets (rows,)` on each box."""
        view = self.network.output
        spread = np.zeros((1, len(rows), self.network.nodes[view.node].size))
        spread[:, :, view.index.ravel()] = rows
        walk, boxes = _Sum(), len(self.low[0])
        self._walk({view.node: spread}, view.node, walk)
        walk.add(offsets[None], np.abs(offsets)[None], 1)
        slope = np.zeros((boxes, len(rows), self.low[0].shape[1])) + (0.0 if walk.slope is None else walk.slope)
        offset = walk.lower(boxes, len(rows))
        self._meet_box(slope, walk)
        return Planes(slope, offset, walk.lower(boxes, len(rows)))

    def _ends(self, place: int, units: Array) -> Array:
        """Lower values of these coordinates of a node and of their negatives on each box, `(boxes, 2 units)`."""
        node, walk, both = self.network.nodes[place], _Sum(), np.concatenate([units, units])
        sign = np.repeat([1.0, -1.0], len(units))[:, None]
        coefficients: dict[int, Array] = {}
        if node.kind != "affine":
            coefficients[place] = (sign * (both[:, None] == np.arange(node.size)))[None]
        else:
            assert node.bias is not None
            walk.add((sign[:, 0] * node.bias[both])[None], np.abs(node.bias[both])[None], 1)
            walk.error(self.slack[place][:, both] * SLOP)
            for part in node.parts:
                if part.matrix is not None:
                    found = (sign * part.matrix[both])[None]
                else:
                    assert part.scale is not None and part.take is not None
                    found = np.zeros((1, len(both), self.network.nodes[part.source].size))
                    found[0, np.arange(len(both)), part.take[both]] = sign[:, 0] * part.scale[both]
                coefficients[part.source] = coefficients[part.source] + found if part.source in coefficients else found
            walk.error(MORE * UNIT * SLOP * self.load[place][:, both])
        self._walk(coefficients, place, walk)
        if walk.slope is not None:
            self._meet_box(walk.slope, walk)
        return walk.lower(len(self.low[0]), len(both))

    def _walk(self, coefficients: dict[int, Array], place: int, walk: _Sum) -> None:
        """Coefficients of nodes up to a place pulled back to the input."""
        for at in range(place, -1, -1):
            row = coefficients.pop(at, None)
            if row is None:
                continue
            node = self.network.nodes[at]
            if node.kind == "input":
                walk.slope = row
            elif node.kind == "affine":
                self._pull_affine(at, node, row, coefficients, walk)
            else:
                self._pull_rectifier(at, node, row, coefficients, walk)

    def _meet_box(self, row: Array, walk: _Sum) -> None:
        up, down = np.maximum(row, 0), np.minimum(row, 0)
        low, high = self.low[0], self.high[0]
        walk.add(_dot(up, low) + _dot(down, high), _dot(np.abs(row), self._magnitude(0)), 2 * row.shape[2])

    def _pull_affine(self, at: int, node: Node, row: Array, coefficients: dict[int, Array], walk: _Sum) -> None:
        assert node.bias is not None
        size = np.abs(row)
        walk.add(row @ node.bias, size @ np.abs(node.bias), row.shape[2])
        walk.error(gamma(row.shape[2] + MORE) * _dot(size, self.load[at]))
        if self.deployed:
            walk.error(SLOP * _dot(size, self.slack[at]))
        for part in node.parts:
            if part.matrix is not None:
                found = row @ part.matrix
            else:
                assert part.scale is not None
                found = _gathered(row * part.scale, part.take, self.network.nodes[part.source].size)
            coefficients[part.source] = coefficients[part.source] + found if part.source in coefficients else found

    def _pull_rectifier(self, at: int, node: Node, row: Array, coefficients: dict[int, Array], walk: _Sum) -> None:
        below, above, offset = (line[:, None] for line in self.lines[at])
        (part,) = node.parts
        lost = _dot(np.minimum(row, 0), offset[:, 0])
        walk.add(lost, -lost, row.shape[2])
        found = row * np.where(row > 0, below, above)
        found = _gathered(found, part.take, self.network.nodes[part.source].size)
        walk.error(MORE * UNIT * SLOP * _dot(np.abs(found), self._magnitude(part.source)))
        coefficients[part.source] = coefficients[part.source] + found if part.source in coefficients else found


class _Sum:
    """A sum of terms, what it may lack, and the size of what was added."""

    def __init__(self) -> None:
        self.value: Any = 0.0
        self.wrong: Any = TINY
        self.size: Any = 0.0
        self.slope: Any = None
        self.count = 4

    def add(self, value: Array, size: Array, terms: int) -> None:
        """A sum of `terms` products whose absolute values add up to `size`."""
        self.value, self.size, self.count = self.value + value, self.size + size, self.count + 2
        self.wrong = self.wrong + gamma(terms + MORE) * size

    def error(self, amount: Array) -> None:
        self.wrong = self.wrong + amount

    def lower(self, boxes: int, rows: int) -> Array:
        found = self.value - (self.wrong + gamma(self.count) * self.size) * SLOP
        return np.broadcast_to(_below(np.asarray(found)), (boxes, rows))


def _lines(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Slopes of the line below and of the chord above, and the chord's offset, rounded up, on `[low, high]`."""
    if bool((low > high).any()):
        raise RefusedError("an interval is empty, which no box can cause")
    on, off = low >= 0, high <= 0
    bends = ~on & ~off
    slope = np.where(on, 1.0, np.where(off, 0.0, high / np.where(bends, high - low, 1.0)))
    below = np.where(bends, (high > -low).astype(np.float64), slope)
    left = _above(slope * -low)
    right = _above(high - _below(slope * high))
    return below, slope, np.where(bends, np.maximum(np.maximum(left, right), 0.0), 0.0)


def _dot(rows: Array, values: Array) -> Array:
    """`rows (boxes or 1, rows, n) · values (boxes or 1, n)`, `(boxes or 1, rows)`."""
    found: Array = (rows[0] @ values.T).T if len(rows) == 1 else (rows @ values[:, :, None])[:, :, 0]
    return found


def _gathered(row: Array, take: Array | None, size: int) -> Array:
    """Coefficients of a node's vector from those of the places `take` of it."""
    assert take is not None
    if len(take) == size and bool((take == np.arange(size)).all()):
        return row
    found = np.zeros((*row.shape[:2], size))
    if len(np.unique(take)) == len(take):
        found[:, :, take] = row
    else:
        for place, source in enumerate(take):
            found[:, :, source] += row[:, :, place]
    return found


def _below(value: Array) -> Array:
    return np.nextafter(value, -np.inf)


def _above(value: Array) -> Array:
    return np.nextafter(value, np.inf)
