"""More functions of several nodes for both readers: gates, shrinking, variances, distances, a softmax of some places."""

from __future__ import annotations

from math import log, prod

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.networks.composed import Sketch, maximum, minimum, norm, product, quotient
from ballproof.operations.arithmetic import Add, Multiply, Negate, Subtract
from ballproof.operations.concat import Concat
from ballproof.operations.exp import Exp
from ballproof.operations.gather import Gather
from ballproof.operations.linear import Linear
from ballproof.operations.mean import Mean
from ballproof.operations.permute import Permute
from ballproof.operations.power import Power
from ballproof.operations.relu import Relu
from ballproof.operations.sigmoid import Sigmoid
from ballproof.operations.slice import Slice
from ballproof.operations.softmax import Softmax
from ballproof.operations.softplus import Softplus
from ballproof.operations.sum import Sum


def scaled(s: Sketch, x: str, factor: float, part: str = "") -> str:
    """factor * x."""
    return x if factor == 1 else s.node(Multiply(), x, s.number(factor), part=part)


def exponential(s: Sketch, base: float, x: str, part: str = "") -> str:
    """base ** x = exp(x log base), base > 0."""
    if base <= 0:
        raise UnsupportedError(f"the base {base}; supported: a positive base")
    return s.node(Exp(), scaled(s, x, log(base), "scaled"), part=part)


def gated(s: Sketch, value: str, gate: str, part: str = "") -> str:
    """value * sigmoid(gate)."""
    return product(s, value, s.node(Sigmoid(), gate, part="gate"), part)


def soft_shrink(s: Sketch, x: str, width: float, part: str = "") -> str:
    """relu(x - width) - relu(-x - width)."""
    right = s.node(Relu(), s.node(Subtract(), x, s.number(width), part="above"), part="right")
    turned = s.node(Negate(), x, part="turned")
    return s.node(
        Subtract(), right, s.node(Relu(), s.node(Subtract(), turned, s.number(width), part="below"), part="left"), part=part
    )


def log_add_exp(s: Sketch, a: str, b: str, part: str = "") -> str:
    """log(exp(a) + exp(b)) = a + softplus(b - a)."""
    return s.node(Add(), a, s.node(Softplus(), s.node(Subtract(), b, a, part="difference"), part="gain"), part=part)


def variance(s: Sketch, x: str, axes: tuple[int, ...], correction: float, keep: bool, part: str = "") -> str:
    """The mean square distance from the mean, by `n - correction` in place of n."""
    count = prod(s.sizes(x)[a - 1] for a in axes)
    if count <= correction:
        raise UnsupportedError(f"a variance of {count} values with correction {correction}; supported: more values")
    centered = s.node(Subtract(), x, s.node(Mean(axes, True), x, part="mean"), part="centered")
    squares = s.node(Power(2), centered, part="squares")
    share = count / (count - correction)
    return scaled(s, s.node(Mean(axes, keep), squares, part=part if share == 1 else "variance"), share, part)


def deviation(s: Sketch, x: str, axes: tuple[int, ...], correction: float, keep: bool, part: str = "") -> str:
    """The root of the variance."""
    return s.node(Power(0.5), variance(s, x, axes, correction, keep, "square"), part=part)


def dot(s: Sketch, a: str, b: str, axis: int, part: str = "", keep: bool = False) -> str:
    """sum(a * b) along one axis."""
    return s.node(Sum((axis,), keep), product(s, a, b, "products"), part=part)


def cosine(s: Sketch, a: str, b: str, axis: int, eps: float, part: str = "") -> str:
    """dot(a, b) / (max(|a|, eps) max(|b|, eps))."""
    factors = [quotient(s, x, _at_least(s, norm(s, x, 2, (axis,), True, f"norm_{n}"), eps), n) for n, x in (("a", a), ("b", b))]
    return dot(s, factors[0], factors[1], axis, part)


def _at_least(s: Sketch, x: str, low: float) -> str:
    """max(x, low)."""
    return s.node(
        Add(), s.node(Relu(), s.node(Subtract(), x, s.number(low), part="over"), part="rest"), s.number(low), part="kept"
    )


def clipped(s: Sketch, x: str, low: str | None, high: str | None, part: str = "") -> str:
    """min(max(x, low), high) for bounds that are values of their own."""
    if low is not None:
        x = maximum(s, x, low, part if high is None else "raised")
    return x if high is None else minimum(s, x, high, part)


def through_matrix(s: Sketch, x: str, axis: int, matrix: str, part: str = "") -> str:
    """One axis of x through a constant matrix (out, in); the other axes stay."""
    rank = len(s.sizes(x)) + 1
    if axis == rank - 1:
        return s.node(Linear(), x, matrix, part=part)
    axes = (*(a for a in range(rank) if a != axis), axis)
    mapped = s.node(Linear(), s.node(Permute(axes), x, part="turned"), matrix, part="mapped")
    return s.node(Permute(tuple(axes.index(a) for a in range(rank))), mapped, part=part)


def picked(s: Sketch, x: str, axis: int, places: list[int], part: str = "") -> str:
    """Some places of one axis, in this order."""
    if places == list(range(s.sizes(x)[axis - 1])):
        return x
    if places == list(range(places[0], places[-1] + 1)):
        return s.node(Slice(axis, places[0], places[-1] + 1), x, part=part)
    return s.node(Gather(axis), x, s.index(places, f"{part}_index"), part=part)


def softmax_of_some(s: Sketch, x: str, axis: int, masked: Tensor, part: str = "") -> str:
    """softmax along one axis among the places that are not masked, and 0 at those that are; exact.

    masked: bool, of the shape of one example. Rows with the same mask share one softmax.
    """
    row, table = _rows(masked, axis)
    groups: dict[tuple[bool, ...], list[int]] = {}
    for number, pattern in enumerate(table.tolist()):
        groups.setdefault(tuple(pattern), []).append(number)
    if any(all(pattern) for pattern in groups):
        raise UnsupportedError("a softmax of which every place is masked; supported: at least one place that counts")
    if len(groups) == 1:
        return _among(s, x, axis, next(iter(groups)), part)
    found, order = [], []
    for number, (pattern, rows) in enumerate(groups.items()):
        found.append(_among(s, picked(s, x, row, rows, f"rows_{number}"), axis, pattern, f"group_{number}"))
        order += rows
    joined = s.node(Concat(row), *found, part="groups")
    return picked(s, joined, row, [order.index(k) for k in range(len(order))], part)


def _rows(masked: Tensor, axis: int) -> tuple[int, Tensor]:
    """The one other axis along which the mask differs, and the mask as a table `(that axis, axis)`."""
    others = [a for a in range(1, masked.ndim + 1) if a != axis]
    differs = [a for a in others if not torch.equal(masked, masked.narrow(a - 1, 0, 1).expand_as(masked))]
    if len(differs) > 1:
        raise UnsupportedError(f"a mask that differs along the axes {differs}; supported: along one beside the softmax's own")
    row = differs[0] if differs else 0
    for a in others:
        masked = masked if a == row else masked.narrow(a - 1, 0, 1)
    table = masked.movedim(axis - 1, -1).reshape(-1, masked.shape[axis - 1])
    return row, table


def _among(s: Sketch, x: str, axis: int, masked: tuple[bool, ...], part: str) -> str:
    """The softmax among the places that count, put back to where they stand."""
    kept = [k for k, out in enumerate(masked) if not out]
    if len(kept) == len(masked):
        return s.node(Softmax(axis), x, part=part)
    some = s.node(Softmax(axis), picked(s, x, axis, kept, f"{part}_kept"), part=f"{part}_softmax")
    return through_matrix(s, some, axis, s.matrix(torch.eye(len(masked))[:, kept], f"{part}_places"), part)
