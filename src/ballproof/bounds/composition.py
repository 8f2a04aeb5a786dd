"""Affine functions of a network's nodes as sparse rows over the variables of a linear program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ballproof.bounds.backward import rowwise
from ballproof.bounds.program import Array, Program, joined
from ballproof.graph import Graph, Node
from ballproof.operations import Affine

ROWS_AT_ONCE = 256
"""Rows are pulled back densely: 256 of them through a node of 50,000 numbers are 100 MB."""

Places = NDArray[np.int64]
Passed = list[tuple[str, Tensor]]


@dataclass(frozen=True)
class Written:
    """How a node's coordinates are written: those at `places` are variables from column `first` on, the others lines.

    slope, offset: `(1, *node)`, the line of a settled coordinate in its argument, 0 at `places`; None where all are
    variables.
    """

    places: Tensor
    first: int
    slope: Tensor | None = None
    offset: Tensor | None = None


@dataclass
class Composition:
    """Pulls queries back through affine nodes and settled neurons to the variables; exact, up to float64 rounding."""

    graph: Graph
    program: Program
    written: dict[str, Written] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = {name: value.detach() for name, value in self.graph.constants().items()}

    def rows(self, name: str, cotangent: Tensor) -> tuple[sparse.csr_matrix, Array]:
        """`cotangent (query, *node) · node` as rows over the variables, and constants `(query,)`."""
        found = [self._pull(name, part) for part in torch.split(cotangent, ROWS_AT_ONCE)]
        return sparse.vstack([r for r, _ in found], format="csr"), joined([c for _, c in found])

    def _pull(self, name: str, cotangent: Tensor) -> tuple[sparse.csr_matrix, Array]:
        pending, constant = {name: cotangent}, np.zeros(len(cotangent))
        found = []
        for node in reversed(self.graph.until(name).varying):
            if node.name not in pending:
                continue
            coming = pending.pop(node.name)
            if node.name in self.written:
                found.append(self._columns(node.name, coming))
                passed, added = self._settled(node, coming)
            else:
                passed, added = self._affine(node, coming)
            constant += added
            for parent, pulled in passed:
                pending[parent] = pending[parent] + pulled if parent in pending else pulled
        if self.graph.input in pending:
            found.append(self._columns(self.graph.input, pending.pop(self.graph.input)))
        row, column, value = (np.concatenate([f[i] for f in found]) if found else np.zeros(0) for i in range(3))
        return sparse.csr_matrix((value, (row, column)), (len(cotangent), self.program.count)), constant

    def _columns(self, name: str, coming: Tensor) -> tuple[Places, Places, Array]:
        """Row, column and value of the coefficients that meet variables."""
        own = self.written[name]
        dense: Array = rowwise(coming)[:, own.places].numpy()
        row, place = np.nonzero(dense)
        return row, place + own.first, dense[row, place]

    def _settled(self, node: Node, coming: Tensor) -> tuple[Passed, Array]:
        """What goes on to the argument through the coordinates that are lines, and what their offsets add."""
        own = self.written[node.name]
        if own.slope is None or own.offset is None:
            return [], np.zeros(len(coming))
        added = (rowwise(coming) @ own.offset.flatten()).numpy()
        return [(self.argument(node), coming * own.slope)], added

    def _affine(self, node: Node, coming: Tensor) -> tuple[Passed, Array]:
        assert isinstance(node.operation, Affine)
        given, shapes = self.graph.arguments(node, self.constants), self.graph.shapes(node)
        term = node.operation.constant_term(given, shapes)
        added = np.zeros(len(coming)) if term is None else (rowwise(coming) @ term.to(coming).flatten()).numpy()
        pulled = node.operation.pull_back(coming, given, shapes)
        return [(i, p) for i, p in zip(node.inputs, pulled, strict=True) if p is not None], added

    def argument(self, node: Node) -> str:
        """The first argument that varies."""
        return next(i for i in node.inputs if self.graph.node[i].varies)


def units(size: int, places: Tensor) -> Iterator[Tensor]:
    """Unit vectors of these places, some at once, `(some, size)` float64."""
    for part in torch.split(places, ROWS_AT_ONCE):
        unit = torch.zeros(len(part), size, dtype=torch.float64)
        yield unit.scatter_(1, part.unsqueeze(1), 1.0)
