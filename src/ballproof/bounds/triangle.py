"""The triangle relaxation of a network on one example (Ehlers 2017) as a linear program.

The variables are the input and, for each neuron that is not settled, its argument and its output. Affine nodes and
settled neurons are no variables: queries are pulled back through them exactly. The convex hull of a piecewise linear
function implies the ends of its argument, so nothing is lost for neurons that are not settled; the ends of a settled one
only say on which piece it lies (ends by interval arithmetic or by lines on the same intervals are implied anyway).

Measured on the published WK-small net (784-3136-1568-100-10), one image, `crown` intervals, one thread of a busy machine.
At eps 0.1, 167 neurons not settled: every neuron as variables and equalities has 24,020 rows and 581,436 coefficients and
takes 2.4 to 6.4 s an objective; composed there are 501 rows and 12,702 coefficients, 0.03 to 0.06 s for the first objective
and 0.004 to 0.03 s for each next one. At eps 0.2, 2,176 not settled: 65 to 72 s against 4 to 13 s. The values agree to 1e-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.composition import Composition, Written, units
from ballproof.bounds.interval import arguments
from ballproof.bounds.program import Array, Program
from ballproof.errors import InputError
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval, Line

Rows = tuple[sparse.csr_matrix, Array]


class Triangle:
    """The program of one example, complete once this is built; `rows` writes queries over its variables."""

    def __init__(self, graph: Graph, box: Interval, known: Mapping[str, Interval]) -> None:
        """box: `(1, *input)`. known: intervals of the arguments of nonlinear nodes, by any sound method; a missing
        one raises `InputError`. All float64."""
        self.graph, self.program = graph, Program()
        self.composition = Composition(graph, self.program)
        self.intervals = {**known, graph.input: box}
        count = box.lower.numel()
        first = self.program.variables(box, graph.input)
        self.composition.written[graph.input] = Written(torch.arange(count), first)
        for node in graph.varying:
            if isinstance(node.operation, Scalar):
                self._scalar(node, node.operation)
            elif isinstance(node.operation, Nonlinear):
                self._nonlinear(node, node.operation)

    def rows(self, name: str, cotangent: Tensor) -> Rows:
        """`cotangent (query, *node) · node` as rows over the variables, and constants `(query,)`."""
        return self.composition.rows(name, cotangent)

    def _output(self, node: Node, operation: Nonlinear) -> Interval:
        """The interval of a nonlinear node: by its rule, cut with what is known of it."""
        for name in node.inputs:
            if self.graph.node[name].varies and name not in self.intervals:
                have = ", ".join(self.intervals)
                raise InputError(f"`intervals` lack `{name}`, the argument of `{node.name}`; they have {have}")
        found = operation.interval(*arguments(self.graph, node, self.intervals, self.composition.constants))
        if node.name in self.intervals:
            found = found.intersect(self.intervals[node.name], node.name)
        self.intervals[node.name] = found
        return found

    def _scalar(self, node: Node, operation: Scalar) -> None:
        """Settled coordinates are the piece at their center; the others get two variables and the hull of the graph."""
        output, name = self._output(node, operation), self.composition.argument(node)
        x, *constants = arguments(self.graph, node, self.intervals, self.composition.constants)
        assert isinstance(x, Interval)
        open_ = operation.unsettled(x, *constants)[0]
        slope = operation.chord(x, *constants)  # type: ignore[arg-type]
        offset = operation.forward(x.center, *constants) - slope * x.center  # type: ignore[arg-type]
        places = open_.flatten().nonzero().flatten()
        before = self._arguments(name, places)
        after = self.program.variables(_at(output, places), node.name)
        own = Written(places, after, slope.masked_fill(open_, 0), offset.masked_fill(open_, 0))
        self.composition.written[node.name] = own
        of_places = [c.detach().double().expand(1, *node.shape).flatten()[places] for c in constants]  # type: ignore[union-attr]
        self._hull(operation, _at(x, places), of_places, before, after)

    def _arguments(self, name: str, places: Tensor) -> int:
        """Variables equal to some coordinates of a node; returns the column of the first."""
        size, shape = self.intervals[name].lower.numel(), self.graph.node[name].shape
        found = [self.rows(name, unit.reshape(-1, *shape)) for unit in units(size, places)]
        first = at = self.program.variables(_at(self.intervals[name], places), name)
        for rows, constant in found:
            own = self.program.one_each(at, np.ones(len(constant)))
            wide = sparse.csr_matrix((rows.data, rows.indices, rows.indptr), own.shape)
            self.program.between(own - wide, constant, constant)
            at += len(constant)
        return first

    def _hull(self, operation: Scalar, x: Interval, constants: list[Tensor], before: int, after: int) -> None:
        """The lines whose envelope is the convex hull of a piecewise linear function, and nearly of a smooth one."""
        below, above = operation.hull(x, *constants)
        for slope in below:
            offset = operation.offset(x, slope, 1, *constants)
            self.program.at_least(self._over(slope.numpy(), before, after), offset.numpy())
        for slope in above:
            offset = operation.offset(x, slope, -1, *constants)
            self.program.at_most(self._over(slope.numpy(), before, after), offset.numpy())

    def _over(self, slopes: Array, before: int, after: int) -> sparse.csr_matrix:
        """output - slope · argument."""
        return self.program.one_each(after, np.ones(len(slopes))) - self.program.one_each(before, slopes)

    def _nonlinear(self, node: Node, operation: Nonlinear) -> None:
        """Any other operation: variables for all coordinates, and every line that its relaxations know."""
        output = self._output(node, operation)
        names = [i for i in node.inputs if self.graph.node[i].varies]
        first = [self._arguments(i, torch.arange(self.intervals[i].lower.numel())) for i in names]
        after = self.program.variables(output, node.name)
        self.composition.written[node.name] = Written(torch.arange(output.lower.numel()), after)
        given = arguments(self.graph, node, self.intervals, self.composition.constants)
        for relaxation in (operation.relax(*given, slope="adaptive"), operation.relax(*given, slope="parallel")):
            self.program.at_least(*self._line(node, operation, relaxation.lower, first, after))
            self.program.at_most(*self._line(node, operation, relaxation.upper, first, after))
        self._sums(node, operation, after)

    def _sums(self, node: Node, operation: Nonlinear, after: int) -> None:
        """Rows for outputs that sum to one, where the operation knows of any."""
        level = operation.level(torch.ones(1, 1, *node.shape, dtype=torch.float64))
        if level is None:
            return
        kept = level.shape[2:]  # 1 along the axis of a sum
        each = torch.eye(level.numel(), dtype=torch.float64).reshape(-1, *kept).expand(-1, *node.shape)
        one = np.ones(len(each))
        self.program.between(_placed(each.flatten(1), after, self.program.count), one, one)

    def _line(self, node: Node, operation: Nonlinear, line: Line, first: list[int], after: int) -> Rows:
        """The rows output - slopes · arguments, and the offsets."""
        size = line.offset.numel()
        shapes = tuple(self.graph.node[i].shape for i in node.inputs if self.graph.node[i].varies)
        rows = []
        for unit in units(size, torch.arange(size)):
            pulled = operation.pull_slopes(unit.reshape(1, -1, *node.shape), line.slopes, shapes)
            placed = [_placed(p[0].reshape(len(p[0]), -1), f, self.program.count) for p, f in zip(pulled, first, strict=True)]
            rows.append(reduce(add, placed))
        own = self.program.one_each(after, np.ones(size))
        return own - sparse.vstack(rows, format="csr"), line.offset.flatten().numpy()


def _at(ends: Interval, places: Tensor) -> Interval:
    return Interval(ends.lower.flatten()[places], ends.upper.flatten()[places])


def _placed(dense: Tensor, first: int, count: int) -> sparse.csr_matrix:
    """Dense rows as sparse ones whose first column is `first`."""
    rows = sparse.csr_matrix(dense.numpy())
    return sparse.csr_matrix((rows.data, rows.indices + first, rows.indptr), (rows.shape[0], count))
