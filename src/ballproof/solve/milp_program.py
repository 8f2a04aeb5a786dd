"""The exact program of a piecewise linear network: the triangle relaxation's, with whole numbers that choose the pieces.

Affine nodes and settled neurons are composed away, as there. A neuron with one kink inside its interval has one binary
(Tjeng, Xiao & Tedrake 2019, whose linear relaxation is the triangle); one with more pieces, or a jump, one for each piece,
one of which is chosen. A jump is closed: both values, and what the function has in between, are allowed at its place, so
the program encloses the network and a proof stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.composition import Written
from ballproof.bounds.interval import arguments
from ballproof.bounds.program import Array
from ballproof.bounds.triangle import Triangle
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.scalar import Scalar
from ballproof.solve.milp_pieces import Piece, on_interval, pieces_of, unmodelled
from ballproof.values import Interval

Terms = Sequence[tuple[int | np.integer[Any], float]]


class MixedProgram(Triangle):
    """The program of one example, complete once this is built. `whole` holds the columns that are 0 or 1.

    inset: how far from a jump its two sides end. Above 0 the program no longer encloses the network and proves nothing; its
    points are those that floats can show.
    Raises `UnsupportedError` for an operation that is not piecewise linear.
    """

    def __init__(self, graph: Graph, box: Interval, known: Mapping[str, Interval], inset: float = 0.0) -> None:
        self.whole: list[int] = []
        self.inset = inset
        super().__init__(graph, box, known)

    def _hull(self, operation: Scalar, x: Interval, constants: list[Tensor], before: int, after: int) -> None:
        """The function itself in place of its hull."""
        bent: list[tuple[int, list[Piece]]] = []
        others: list[tuple[int, list[Piece]]] = []
        low, high = x.lower.tolist(), x.upper.tolist()
        for i, (a, b) in enumerate(zip(low, high, strict=True)):
            own = on_interval(pieces_of(operation, [float(c[i]) for c in constants]), a, b)
            continuous = len(own) == 2 and not any(p.open for p in own)
            (bent if continuous else others).append((i, own))
        if bent:
            self._kinks(bent, np.asarray(low), np.asarray(high), before, after)
        for i, own in others:
            self._segments(own, (low[i], high[i]), before + i, after + i)

    def _kinks(self, bent: list[tuple[int, list[Piece]]], low: Array, high: Array, before: int, after: int) -> None:
        """y between two lines on the right side, and on the chosen one of them.

        With y >= both (convex; concave with all signs turned), left line l, right line r, a kink at b, and a in {0, 1}:
        y <= l(x) + (r - l)(high) a and y <= r(x) + (l - r)(low) (1 - a).
        """
        place = np.array([i for i, _ in bent])
        kink = np.array([own[1].start for _, own in bent])
        left, right = (np.array([[own[k].slope, own[k].offset] for _, own in bent]) for k in (0, 1))
        turn = right[:, 0] - left[:, 0]
        gain, loss = turn * (high[place] - kink), turn * (kink - low[place])
        choice = self._binaries(len(place))
        x, y = before + place, after + place
        sign = np.where(turn > 0, 1.0, -1.0)
        above = [self._rows((y, sign), (x, -sign * line[:, 0])) for line in (left, right)]
        self.program.at_least(sparse.vstack(above), np.concatenate([sign * left[:, 1], sign * right[:, 1]]))
        below = [
            self._rows((y, sign), (x, -sign * left[:, 0]), (choice, -sign * gain)),
            self._rows((y, sign), (x, -sign * right[:, 0]), (choice, sign * loss)),
        ]
        self.program.at_most(sparse.vstack(below), np.concatenate([sign * left[:, 1], sign * (right[:, 1] + loss)]))

    def _segments(self, own: list[Piece], ends: tuple[float, float], x: int, y: int) -> None:
        """One piece is chosen, and x and y lie on it: x is the sum of a share for each piece, 0 for all but the chosen."""
        choice = self._binaries(len(own))
        starts = np.array([max(p.start + self.inset * p.open, ends[0]) for p in own])
        stops = np.array([min(p.end - self.inset * p.open, ends[1]) for p in own])
        starts, stops = np.minimum(starts, ends[1]), np.maximum(stops, ends[0])
        zero = np.zeros(len(own))
        low, high = (torch.from_numpy(e) for e in (np.minimum(starts, zero), np.maximum(stops, zero)))
        share = self.program.variables(Interval(low, high), "a piece") + np.arange(len(own))
        self._equal([(c, 1.0) for c in choice], 1.0)
        self._equal([(x, -1.0), *((c, 1.0) for c in share)], 0.0)
        slopes = [(c, p.slope) for c, p in zip(share, own, strict=True)]
        offsets = [(c, p.offset) for c, p in zip(choice, own, strict=True)]
        self._equal([(y, -1.0), *slopes, *offsets], 0.0)
        ones = np.ones(len(own))
        self.program.at_least(self._rows((share, ones), (choice, -starts)), zero)
        self.program.at_most(self._rows((share, ones), (choice, -stops)), zero)

    def _nonlinear(self, node: Node, operation: Nonlinear) -> None:
        if not isinstance(operation, MaxPool):
            raise unmodelled(operation)
        (x,) = arguments(self.graph, node, self.intervals, self.composition.constants)
        assert isinstance(x, Interval)
        places = operation.windows_place(x.lower).reshape(-1, operation.windows(x.lower).shape[-1])
        output = self._output(node, operation)
        low, high = x.lower.flatten().tolist(), x.upper.flatten().tolist()
        windows = [_rivals(sorted(set(window)), low, high) for window in places.tolist()]
        used = sorted({i for window in windows for i in window})
        before = self._arguments(node.inputs[0], torch.tensor(used))
        column = {place: before + k for k, place in enumerate(used)}
        after = self.program.variables(output, node.name)
        self.composition.written[node.name] = Written(torch.arange(len(windows)), after)
        for k, window in enumerate(windows):
            self._largest([(column[i], low[i], high[i]) for i in window], after + k)

    def _largest(self, window: list[tuple[int, float, float]], y: int) -> None:
        """y is at least each element, and at most the chosen one (Tjeng, Xiao & Tedrake 2019)."""
        if len(window) == 1:
            self._equal([(y, 1.0), (window[0][0], -1.0)], 0.0)
            return
        choice, x = self._binaries(len(window)), np.array([w[0] for w in window])
        self._equal([(c, 1.0) for c in choice], 1.0)
        tops = np.array([w[2] for w in window])
        others = np.array([np.delete(tops, k).max() for k in range(len(window))])
        gap = np.maximum(others - np.array([w[1] for w in window]), 0.0)
        ones, same = np.ones(len(window)), np.full(len(window), y)
        self.program.at_least(self._rows((same, ones), (x, -ones)), np.zeros(len(window)))
        self.program.at_most(self._rows((same, ones), (x, -ones), (choice, gap)), gap)

    def _binaries(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        ends = Interval(torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64))
        columns = self.program.variables(ends, "a choice") + np.arange(count)
        self.whole.extend(columns.tolist())
        return columns

    def _rows(self, *terms: tuple[object, Array]) -> sparse.csr_matrix:
        """Row i holds the i-th coefficient of each term in the i-th column of the term."""
        count = len(terms[0][1])
        column = np.concatenate([np.asarray(c) for c, _ in terms])
        row = np.tile(np.arange(count), len(terms))
        return sparse.csr_matrix((np.concatenate([v for _, v in terms]), (row, column)), (count, self.program.count))

    def _equal(self, terms: Terms, value: float) -> None:
        columns, factors = [int(c) for c, _ in terms], [f for _, f in terms]
        row = sparse.csr_matrix((factors, ([0] * len(columns), columns)), (1, self.program.count))
        self.program.between(row, np.array([value]), np.array([value]))


def _rivals(window: list[int], low: list[float], high: list[float]) -> list[int]:
    """The elements that may be the largest; one of them where it is certain."""
    best = max(window, key=lambda i: low[i])
    return [i for i in window if i == best or high[i] > low[best]]
