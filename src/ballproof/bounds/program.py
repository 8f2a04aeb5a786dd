"""The triangle relaxation of a network on one example as sparse rows: variables, bounds, `low <= A v <= high`.

Variables are the input, every argument of a nonlinear node, and the output of every nonlinear node. An argument equals an
affine function of the variables before it (one equality row each); an output lies between the known lines of its
operation. Every variable is bounded, so any row multipliers prove a bound (weak duality).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ballproof.bounds.interval import arguments, step
from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval, Relaxation

Array = NDArray[np.float64]
ROWS_AT_ONCE = 512


@dataclass
class Program:
    """Rows and variables under construction; float64 throughout."""

    graph: Graph
    constants: Mapping[str, Tensor]
    first: dict[str, int] = field(default_factory=dict)
    lower: list[Array] = field(default_factory=list)
    upper: list[Array] = field(default_factory=list)
    rows: list[sparse.csr_matrix] = field(default_factory=list)
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    count: int = 0

    def variables(self, name: str, ends: Interval) -> int:
        """New variables for the coordinates of a node, with their ends `(1, *node)`; returns the number of the first."""
        self.first[name] = self.count
        self.lower.append(ends.lower.flatten().double().numpy())
        self.upper.append(ends.upper.flatten().double().numpy())
        self.count += len(self.lower[-1])
        return self.first[name]

    def between(self, rows: sparse.spmatrix, low: Array, high: Array) -> None:
        """Add `low <= rows · v <= high`; rows may be narrower than all variables."""
        self.rows.append(rows.tocsr())
        self.low.append(low)
        self.high.append(high)

    def matrix(self) -> sparse.csr_matrix:
        """All rows, each as wide as all variables."""
        wide = [_wide(r, self.count) for r in self.rows]
        return sparse.vstack(wide, format="csr") if wide else sparse.csr_matrix((0, self.count))

    def affine(self, name: str, cotangent: Tensor) -> tuple[sparse.csr_matrix, Array]:
        """`cotangent (query, *node)` pulled back to the variables: sparse rows and constants."""
        pieces = [self._affine(name, part) for part in cotangent.split(ROWS_AT_ONCE)]
        return sparse.vstack([p[0] for p in pieces], format="csr"), np.concatenate([p[1] for p in pieces])

    def _affine(self, name: str, cotangent: Tensor) -> tuple[sparse.csr_matrix, Array]:
        pending = {name: cotangent}
        constant = np.zeros(len(cotangent))
        rows = sparse.csr_matrix((len(cotangent), self.count))
        if name in self.first:
            return _wide(_placed(pending.pop(name), self.first[name]), self.count), constant
        for node in reversed(self.graph.until(name).varying):
            if node.name not in pending:
                continue
            coming = pending.pop(node.name)
            if node.name in self.first:
                rows = rows + _wide(_placed(coming, self.first[node.name]), self.count)
                continue
            assert isinstance(node.operation, Affine)
            given, shapes = self.graph.arguments(node, self.constants), self.graph.shapes(node)
            term = node.operation.constant_term(given, shapes)
            if term is not None:
                constant += (coming.flatten(1) @ term.to(coming).flatten()).numpy()
            for parent, pulled in zip(node.inputs, node.operation.pull_back(coming, given, shapes), strict=True):
                if pulled is not None:
                    pending[parent] = pending[parent] + pulled if parent in pending else pulled
        if self.graph.input in pending:
            rows = rows + _wide(_placed(pending.pop(self.graph.input), self.first[self.graph.input]), self.count)
        return rows, constant

    def nonlinear(self, node: Node, operation: Nonlinear, intervals: dict[str, Interval]) -> None:
        """The variables and rows of one nonlinear node."""
        for name in node.inputs:
            if self.graph.node[name].varies and name not in self.first:
                self._argument(name, intervals[name])
        given = arguments(self.graph, node, intervals, self.constants)
        output = operation.interval(*given)
        if node.name in intervals:
            output = output.intersect(intervals[node.name], node.name)
        intervals[node.name] = output
        start = self.variables(node.name, output)
        relaxation = operation.relax(*given, slope="adaptive")
        self._line(node, operation, relaxation, start, below=True)
        self._line(node, operation, relaxation, start, below=False)
        if isinstance(operation, Scalar):
            self._pieces(node, operation, start)

    def _argument(self, name: str, ends: Interval) -> None:
        count = ends.lower.numel()
        unit = torch.eye(count, dtype=torch.float64).reshape(count, *self.graph.node[name].shape)
        rows, constant = self.affine(name, unit)
        start = self.variables(name, ends)
        own = sparse.csr_matrix((np.ones(count), (np.arange(count), start + np.arange(count))), (count, self.count))
        self.between(own - _wide(rows, self.count), constant, constant)

    def _line(self, node: Node, operation: Nonlinear, relaxation: Relaxation, start: int, below: bool) -> None:
        """output - slopes · arguments >= offset (below) or <= offset (above)."""
        line = relaxation.lower if below else relaxation.upper
        shapes = tuple(self.graph.node[i].shape for i in node.inputs if self.graph.node[i].varies)
        count = line.offset.numel()
        rows = sparse.csr_matrix((np.ones(count), (np.arange(count), start + np.arange(count))), (count, self.count))
        names = [i for i in node.inputs if self.graph.node[i].varies]
        if isinstance(operation, Scalar):
            slope = line.slopes[0].flatten().numpy()
            at = self.first[names[0]] + np.arange(count)
            rows = rows - sparse.csr_matrix((slope, (np.arange(count), at)), (count, self.count))
        else:
            unit = torch.eye(count, dtype=torch.float64).reshape(1, count, *node.shape)
            for name, pulled in zip(names, operation.pull_slopes(unit, line.slopes, shapes), strict=True):
                rows = rows - _wide(_placed(pulled[0], self.first[name]), self.count)
        offset, free = line.offset.flatten().numpy(), np.full(count, np.inf)
        self.between(rows, offset if below else -free, free if below else offset)

    def _pieces(self, node: Node, operation: Scalar, start: int) -> None:
        """Every linear piece bounds a convex function from below, a concave one from above."""
        count, convex = int(torch.Size(node.shape).numel()), operation.shape == "convex"
        at = self.first[next(i for i in node.inputs if self.graph.node[i].varies)] + np.arange(count)
        own = sparse.csr_matrix((np.ones(count), (np.arange(count), start + np.arange(count))), (count, self.count))
        free = np.full(count, np.inf)
        for slope, offset in operation.pieces:
            rows = own - sparse.csr_matrix((np.full(count, slope), (np.arange(count), at)), (count, self.count))
            end = np.full(count, offset)
            self.between(rows, end if convex else -free, free if convex else end)


def triangle_program(graph: Graph, box: Interval, known: Mapping[str, Interval]) -> Program:
    """The program of one example: box `(1, *input)`, `known` the intervals of the arguments of nonlinear nodes."""
    program = Program(graph, graph.constants())
    program.variables(graph.input, box)
    intervals = {**known, graph.input: box}
    for node in graph.varying:
        if isinstance(node.operation, Nonlinear):
            program.nonlinear(node, node.operation, intervals)
        elif node.name not in intervals:
            intervals[node.name] = step(graph, node, intervals, program.constants)
    return program


def _placed(coefficients: Tensor, start: int) -> sparse.csr_matrix:
    """Dense rows `(query, *node)` as sparse ones whose first column is `start`."""
    dense = sparse.csr_matrix(coefficients.flatten(1).numpy())
    return sparse.csr_matrix((dense.data, dense.indices + start, dense.indptr), (dense.shape[0], start + dense.shape[1]))


def _wide(rows: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The same rows over more variables."""
    return sparse.csr_matrix((rows.data, rows.indices, rows.indptr), (rows.shape[0], count))
