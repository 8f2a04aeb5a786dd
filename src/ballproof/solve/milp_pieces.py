"""The straight pieces of piecewise linear functions of one variable, as exact programs need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ballproof.errors import UnsupportedError
from ballproof.graph import Graph
from ballproof.operations import Nonlinear
from ballproof.operations.abs import Abs
from ballproof.operations.clamp import Clamp
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.prelu import Prelu
from ballproof.operations.relu import Relu
from ballproof.operations.scalar import Scalar
from ballproof.operations.stairs import Sign, Step

INF = float("inf")

Number = float | Fraction


@dataclass(frozen=True)
class Piece:
    """`slope * x + offset` for x from `start` to `end`; an end that is `open` belongs to the neighbour alone."""

    start: float
    end: float
    slope: float
    offset: float
    open: bool = False

    def meets(self, low: Number, high: Number) -> bool:
        """Whether some x of [low, high] lies on the piece."""
        if self.open:
            return self.start < high and low < self.end
        return self.start <= high and low <= self.end


def pieces_of(operation: Scalar, constants: Sequence[float] = ()) -> tuple[Piece, ...]:
    """The pieces from left to right, together the whole graph of the function; `UnsupportedError` for a curved one.

    constants: the numbers behind the argument, for one coordinate (the weight of a PReLU).
    """
    match operation:
        case Relu():
            found = _bent(0.0)
        case LeakyRelu(slope):
            found = _bent(slope)
        case Prelu():
            found = _bent(constants[0])
        case Abs():
            found = _bent(-1.0)
        case Clamp(low, high):
            cut = Piece(-INF, low, 0.0, low), Piece(low, high, 1.0, 0.0), Piece(high, INF, 0.0, high)
            found = tuple(p for p in cut if abs(p.offset) < INF)
        case Sign():
            found = _jump(-1.0, 0.0)
        case Step(middle):
            found = _jump(0.0, middle)
        case _:
            raise unmodelled(operation)
    return found


def _bent(left: float) -> tuple[Piece, ...]:
    return Piece(-INF, 0.0, left, 0.0), Piece(0.0, INF, 1.0, 0.0)


def _jump(left: float, middle: float) -> tuple[Piece, ...]:
    return Piece(-INF, 0.0, 0.0, left, True), Piece(0.0, 0.0, 0.0, middle), Piece(0.0, INF, 0.0, 1.0, True)


def on_interval(pieces: Sequence[Piece], low: Number, high: Number) -> list[Piece]:
    """The pieces that hold the graph over [low, high]; a piece that only shares its end with a neighbour is left out."""
    met = [p for p in pieces if p.meets(low, high)]
    if low == high or any(p.open for p in met):
        return met[:1] if low == high else met
    return [p for p in met if p.start < high and low < p.end]


def refuse_curved(graph: Graph) -> None:
    """Raises `UnsupportedError` naming the first node that is neither affine nor piecewise linear."""
    for node in graph.varying:
        operation = node.operation
        if not isinstance(operation, Nonlinear) or isinstance(operation, MaxPool):
            continue
        try:
            if not isinstance(operation, Scalar):
                raise unmodelled(operation)
            pieces_of(operation, (0.0,))
        except UnsupportedError as error:
            raise UnsupportedError(f"node `{node.name}`{f' ({node.source})' if node.source else ''}: {error}") from None


def unmodelled(operation: object) -> UnsupportedError:
    supported = "relu, leaky relu, prelu, abs, clamp, sign, step, max pooling"
    return UnsupportedError(f"{type(operation).__name__} in an exact program; supported, being piecewise linear: {supported}")
