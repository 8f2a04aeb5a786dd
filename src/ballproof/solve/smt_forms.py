"""A piecewise linear network as exact affine forms over its inputs and its unsettled neurons; no float is rounded.

Column 0 of a form is its constant, then follow the inputs, then one variable for each neuron that exact bounds leave
unsettled. The bounds are those of `crown` in rational arithmetic: a slope is any float near a good one, its offset exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.graph import Graph, Node
from ballproof.operations import Affine
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.scalar import Scalar
from ballproof.solve.milp_pieces import Piece, on_interval, pieces_of, unmodelled
from ballproof.solve.smt_exact import Dyadic, dyadic, float_above, float_below, joined

Ends = tuple[Fraction, Fraction]


@dataclass(frozen=True, eq=False)
class Bent:
    """A variable on the pieces of a function of one form, whose ends are known."""

    column: int
    argument: Dyadic
    pieces: tuple[Piece, ...]
    ends: Ends


@dataclass(frozen=True, eq=False)
class Largest:
    """A variable that is the largest of some forms `(elements, columns)`."""

    column: int
    elements: Dyadic


@dataclass
class Forms:
    """The network, once `run`: `nodes` by name, `(coordinates, columns)`; `variables` in the order of their columns.

    ends: of the inputs, exact. check: called between neurons, to stop. most: variables beyond which it stops with `TooMany`.
    """

    graph: Graph
    ends: list[Ends]
    most: int
    check: Callable[[], None]
    nodes: dict[str, Dyadic] = field(default_factory=dict)
    variables: list[Bent | Largest] = field(default_factory=list)
    lines: list[tuple[Dyadic, Dyadic]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inputs = len(self.ends)
        self.constants = {name: value.detach() for name, value in self.graph.constants().items()}

    @property
    def columns(self) -> int:
        return 1 + self.inputs + len(self.variables)

    def run(self) -> Forms:
        unit = np.concatenate([np.zeros((self.inputs, 1)), np.eye(self.inputs)], 1)
        self.nodes[self.graph.input] = Dyadic.of(unit)
        for node in self.graph.varying:
            self.check()
            match node.operation:
                case Affine():
                    self.nodes[node.name] = self._affine(node, node.operation)
                case Scalar():
                    self.nodes[node.name] = self._scalar(node, node.operation)
                case MaxPool():
                    self.nodes[node.name] = self._pool(node, node.operation)
                case _:
                    raise unmodelled(node.operation)
        return self

    def _affine(self, node: Node, operation: Affine) -> Dyadic:
        given, shapes = self.graph.arguments(node, self.constants), self.graph.shapes(node)
        size = int(torch.Size(node.shape).numel())
        rows = torch.eye(size, dtype=torch.float64).reshape(size, *node.shape)
        total = Dyadic.zeros(size, self.columns)
        term = operation.constant_term(given, shapes)
        if term is not None:
            total = total + Dyadic.of(_numbers(term.expand(1, *node.shape)).reshape(-1, 1)).wide(self.columns)
        for name, pulled in zip(node.inputs, operation.pull_back(rows, given, shapes), strict=True):
            if pulled is not None:
                total = total + Dyadic.of(_numbers(pulled.reshape(size, -1))).times(self.nodes[name].wide(self.columns))
        return total

    def _scalar(self, node: Node, operation: Scalar) -> Dyadic:
        name = next(i for i in node.inputs if self.graph.node[i].varies)
        if node.shape != self.graph.node[name].shape:
            raise UnsupportedError(f"node `{node.name}` broadcasts its argument; supported by exact forms: equal shapes")
        given = [
            _numbers(c.expand(1, *node.shape)).flatten() for c in self.graph.arguments(node, self.constants) if c is not None
        ]
        forms = []
        for i in range(len(self.nodes[name])):
            self.check()
            pieces = pieces_of(operation, [float(c[i]) for c in given])
            forms.append(self._on_pieces(self.nodes[name][i : i + 1], pieces))
        return joined([f.wide(self.columns) for f in forms])

    def _on_pieces(self, argument: Dyadic, pieces: tuple[Piece, ...]) -> Dyadic:
        low, high = self.range(argument)
        own = on_interval(pieces, low, high)
        if len(own) == 1:
            return _line(own[0].slope, argument, Fraction(own[0].offset))
        corners = [(p, _value(piece, p)) for piece in own for p in _stretch(piece, low, high)]
        below, above = (_supporting(corners, own, (low, high), side) for side in (1, -1))
        lines = _line(below[0], argument, below[1]), _line(above[0], argument, above[1])
        return self._variable(Bent(self.columns, argument, tuple(own), (low, high)), lines)

    def _pool(self, node: Node, operation: MaxPool) -> Dyadic:
        forms = self.nodes[node.inputs[0]]
        like = torch.zeros(1, *self.graph.node[node.inputs[0]].shape, dtype=torch.float64)
        windows = operation.windows_place(like).reshape(int(torch.Size(node.shape).numel()), -1).tolist()
        ranges = {i: self.range(forms[i : i + 1]) for i in sorted({i for w in windows for i in w})}
        found = [self._largest(forms, sorted(set(window)), ranges) for window in windows]
        return joined([f.wide(self.columns) for f in found])

    def _largest(self, forms: Dyadic, window: list[int], ranges: dict[int, Ends]) -> Dyadic:
        self.check()
        best = max(window, key=lambda i: ranges[i][0])
        rivals = [i for i in window if i == best or ranges[i][1] > ranges[best][0]]
        if len(rivals) == 1:
            return forms[best : best + 1]
        top = _line(0.0, forms[best : best + 1], max(ranges[i][1] for i in rivals))
        return self._variable(Largest(self.columns, forms[rivals]), (forms[best : best + 1], top))

    def _variable(self, new: Bent | Largest, lines: tuple[Dyadic, Dyadic]) -> Dyadic:
        if len(self.variables) == self.most:
            raise TooMany
        self.variables.append(new)
        self.lines.append(lines)
        unit = np.zeros((1, self.columns))
        unit[0, new.column] = 1.0
        return Dyadic.of(unit)

    def range(self, form: Dyadic) -> Ends:
        """Floats at or beyond the ends of one form `(1, columns)` over the region's box, `(lower, upper)`."""
        return float_below(self.least(form)), float_above(-self.least(-form))

    def least(self, form: Dyadic) -> Fraction:
        """A value that the form is never below: variables give way to their lines, last ones first, inputs to ends."""
        form = form.wide(self.columns)
        for variable, lines in zip(reversed(self.variables), reversed(self.lines), strict=True):
            factor = form[:, variable.column : variable.column + 1]
            if not factor.whole[0, 0]:
                continue
            line = lines[0] if factor.whole[0, 0] > 0 else lines[1]
            rest = form.whole.copy()
            rest[0, variable.column] = 0
            form = Dyadic(rest, form.below) + line.wide(self.columns) * factor
        constant, *factors = form[0, : 1 + self.inputs].fractions()
        return constant + sum((f * (e[0] if f > 0 else e[1]) for f, e in zip(factors, self.ends, strict=True)), Fraction(0))


class TooMany(Exception):  # noqa: N818  a way out, not an error
    """More neurons are unsettled than an exact solver is worth being asked about."""


def _numbers(value: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return value.detach().double().cpu().numpy()


def _stretch(piece: Piece, low: Fraction, high: Fraction) -> tuple[Fraction, Fraction]:
    """The part of the piece in [low, high]; its ends."""
    return (Fraction(piece.start) if piece.start > low else low), (Fraction(piece.end) if piece.end < high else high)


def _value(piece: Piece, x: Fraction) -> Fraction:
    return Fraction(piece.slope) * x + Fraction(piece.offset)


def _supporting(corners: list[tuple[Fraction, Fraction]], pieces: list[Piece], ends: Ends, side: int) -> tuple[float, Fraction]:
    """The slope and the offset of a line below (side 1) or above (side -1) all corners: the best in the middle of the ends."""
    (first, start), (last, stop) = corners[0], corners[-1]
    slopes = {float((stop - start) / (last - first)), *(p.slope for p in pieces)}
    pick, middle = (min, (ends[0] + ends[1]) / 2) if side > 0 else (max, (ends[0] + ends[1]) / 2)
    lines = [(k, pick(y - Fraction(k) * x for x, y in corners)) for k in sorted(slopes)]
    return max(lines, key=lambda line: side * (Fraction(line[0]) * middle + line[1]))


def _line(slope: float, form: Dyadic, offset: Fraction) -> Dyadic:
    """slope * form + offset."""
    scaled = form * Dyadic.of(np.array([[slope]]))
    constant = dyadic(offset)
    return scaled + Dyadic(constant.whole.reshape(1, 1), constant.below).wide(form.whole.shape[1])
