"""Functions that are made of several nodes, written once for both readers: two readers, one graph.

Each takes a `Sketch`, which adds nodes, and the names of its arguments; axes are counted with the batch axis as 0.
"""

from __future__ import annotations

from math import isfinite
from typing import Protocol

from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations import Operation
from ballproof.operations.abs import Abs
from ballproof.operations.arithmetic import Add, Divide, Multiply, Negate, Subtract
from ballproof.operations.clamp import Clamp
from ballproof.operations.linear import Linear
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.mean import Mean
from ballproof.operations.permute import Permute
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape
from ballproof.operations.softmax import Softmax
from ballproof.operations.sum import Sum


class Sketch(Protocol):
    """What both readers can do."""

    def node(self, operation: Operation, *inputs: str, part: str = "") -> str: ...
    def number(self, value: float) -> str: ...
    def depends(self, name: str) -> bool: ...
    def sizes(self, name: str) -> tuple[int, ...]: ...
    def matrix(self, value: Tensor, part: str) -> str: ...
    def index(self, value: list[int], part: str) -> str: ...


def product(s: Sketch, a: str, b: str, part: str = "") -> str:
    """a * b: by a constant, a square, or of two branches."""
    if a == b and s.depends(a):
        return s.node(Power(2), a, part=part)
    if s.depends(a) and s.depends(b):
        return s.node(Product(), *levelled(s, a, b), part=part)
    return s.node(Multiply(), a, b, part=part)


def quotient(s: Sketch, a: str, b: str, part: str = "") -> str:
    """a / b: by a constant, or times the reciprocal of a branch."""
    if not s.depends(b):
        return s.node(Divide(), a, b, part=part)
    return product(s, a, s.node(Power(-1), b, part="reciprocal"), part)


def levelled(s: Sketch, a: str, b: str) -> tuple[str, str]:
    """Two branches, refused unless they have as many axes."""
    ranks = len(s.sizes(a)), len(s.sizes(b))
    if ranks[0] != ranks[1]:
        raise UnsupportedError(
            f"a product of values of {ranks[0] + 1} and {ranks[1] + 1} axes; supported: as many on both sides"
        )
    return a, b


def power(s: Sketch, x: str, exponent: float, part: str = "") -> str:
    """x ** exponent for a fixed exponent."""
    if exponent == 1:
        return x
    if exponent == 0:
        raise UnsupportedError("a power with exponent 0; supported: any other")
    return s.node(Power(float(exponent)), x, part=part)


def maximum(s: Sketch, a: str, b: str, part: str = "") -> str:
    """a + relu(b - a), exact."""
    if not s.depends(a):
        a, b = b, a
    return s.node(Add(), a, s.node(Relu(), s.node(Subtract(), b, a, part="more"), part="gain"), part=part)


def minimum(s: Sketch, a: str, b: str, part: str = "") -> str:
    """a - relu(a - b), exact."""
    if not s.depends(a):
        a, b = b, a
    return s.node(Subtract(), a, s.node(Relu(), s.node(Subtract(), a, b, part="more"), part="gain"), part=part)


def clamp(s: Sketch, x: str, low: float | None, high: float | None, part: str = "") -> str:
    """x cut to [low, high]."""
    infinity = float("inf")
    low, high = -infinity if low is None else float(low), infinity if high is None else float(high)
    if low == -infinity and high == infinity:
        return x
    if low == 0 and high == infinity:
        return s.node(Relu(), x, part=part)
    if low == high and isfinite(low):  # a constant, in the shape of x
        return s.node(Add(), s.node(Multiply(), x, s.number(0.0), part="nothing"), s.number(low), part=part)
    return s.node(Clamp(low, high), x, part=part)


def hard_sigmoid(s: Sketch, x: str, slope: float = 1 / 6, shift: float = 0.5, part: str = "") -> str:
    """clamp(slope * x + shift, 0, 1)."""
    line = s.node(Add(), s.node(Multiply(), x, s.number(slope), part="scaled"), s.number(shift), part="shifted")
    return s.node(Clamp(0.0, 1.0), line, part=part)


def log_softmax(s: Sketch, x: str, axis: int, part: str = "") -> str:
    """x - log_sum_exp(x): differences of its outputs lose the second term exactly."""
    return s.node(Subtract(), x, s.node(LogSumExp(axis, True), x, part="total"), part=part)


def log_sigmoid(s: Sketch, x: str, part: str = "") -> str:
    """-softplus(-x)."""
    from ballproof.operations.softplus import Softplus

    return s.node(Negate(), s.node(Softplus(), s.node(Negate(), x, part="turned"), part="softplus"), part=part)


def ceiling(s: Sketch, x: str, part: str = "") -> str:
    """-floor(-x)."""
    from ballproof.operations.stairs import Floor

    return s.node(Negate(), s.node(Floor(), s.node(Negate(), x, part="turned"), part="floor"), part=part)


def largest(s: Sketch, x: str, axes: tuple[int, ...], keep: bool, part: str = "") -> str:
    """The largest element along some axes, as a max pooling over all of them."""
    sizes = s.sizes(x)
    others = tuple(a for a in range(1, len(sizes) + 1) if a not in axes)
    rest, count = [sizes[a - 1] for a in others], 1
    for a in axes:
        count *= sizes[a - 1]
    ordered = (
        s.node(Permute((0, *others, *axes)), x, part="ordered") if axes != tuple(range(len(rest) + 1, len(sizes) + 1)) else x
    )
    rows = 1
    for n in rest:
        rows *= n
    flat = s.node(Reshape((rows, count)), ordered, part="rows")
    pooled = s.node(MaxPool((count,), (count,), (0,), (1,)), flat, part="largest")
    shape = tuple(1 if a in axes else sizes[a - 1] for a in range(1, len(sizes) + 1)) if keep else tuple(rest)
    return s.node(Reshape(shape), pooled, part=part)


def smallest(s: Sketch, x: str, axes: tuple[int, ...], keep: bool, part: str = "") -> str:
    """-max(-x)."""
    return s.node(Negate(), largest(s, s.node(Negate(), x, part="turned"), axes, keep, "most"), part=part)


def norm(s: Sketch, x: str, order: float, axes: tuple[int, ...], keep: bool, part: str = "") -> str:
    """The lp norm along some axes, order >= 1 or infinity."""
    if order == float("inf"):
        return largest(s, s.node(Abs(), x, part="size"), axes, keep, part)
    if order < 1:
        raise UnsupportedError(f"a norm of order {order}; supported: 1, 2, any larger one, infinity")
    if order == 1:
        return s.node(Sum(axes, keep), s.node(Abs(), x, part="size"), part=part)
    size = x if order == 2 else s.node(Abs(), x, part="size")
    total = s.node(Sum(axes, keep), s.node(Power(float(order)), size, part="powers"), part="total")
    return s.node(Power(1 / order), total, part=part)


def standardised(s: Sketch, x: str, axes: tuple[int, ...], eps: float, centered: bool = True, part: str = "") -> str:
    """(x - mean) / sqrt(variance + eps) along some axes: the middle of layer, group, instance and RMS normalisation."""
    middle = s.node(Subtract(), x, s.node(Mean(axes, True), x, part="mean"), part="centered") if centered else x
    variance = s.node(Mean(axes, True), s.node(Power(2), middle, part="squares"), part="variance")
    shifted = s.node(Add(), variance, s.number(eps), part="shifted")
    return s.node(Product(), middle, s.node(Power(-0.5), shifted, part="scale"), part=part)


def resampled(s: Sketch, x: str, axis: int, weights: Tensor, part: str) -> str:
    """Each output along an axis a fixed mixture of the inputs along it, `weights (outputs, inputs)`: resizing, axis by axis."""
    last = len(s.sizes(x))
    matrix = s.matrix(weights, f"{part}_weights")
    if axis == last:
        return s.node(Linear(), x, matrix, part=part)
    turn = Permute(tuple({axis: last, last: axis}.get(a, a) for a in range(last + 1)))
    mixed = s.node(Linear(), s.node(turn, x, part=f"{part}_turned"), matrix, part=f"{part}_mixed")
    return s.node(turn, mixed, part=part)


def scores(s: Sketch, query: str, key: str, scale: float) -> str:
    """scale * query @ key' on the last two axes."""
    axes = len(s.sizes(key)) + 1
    turned = s.node(Permute((*range(axes - 2), axes - 1, axes - 2)), key, part="key")
    return s.node(Multiply(), s.node(MatrixProduct(), query, turned, part="scores"), s.number(scale), part="scaled")


def weights(s: Sketch, scored: str, axis: int) -> str:
    """How much each query takes of each value."""
    return s.node(Softmax(axis), scored, part="weights")


def mixed(s: Sketch, shares: str, value: str, part: str = "") -> str:
    """The values, mixed."""
    return s.node(MatrixProduct(), shares, value, part=part)
