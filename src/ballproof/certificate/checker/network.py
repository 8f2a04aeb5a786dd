"""The normal form: a network as a list of affine nodes and functions of single numbers, and what is asked of it on a box.

What makes it of files is in `reading/`, and nothing of that is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, Array

MOST_USERS = 100
"""Nodes that use one node: what they send back is added up, and so many roundings are allowed for."""


@dataclass(frozen=True)
class Part:
    """What one earlier node, a vector of `size` numbers, adds to an affine one.

    places `(groups, windows, k)`, weight `(groups, units, k)`: output `(g * units + o) * windows + p` gets the sum over k of
    `weight[g, o, k] * x[places[g, p, k]]`. So a matrix has one group and one window, a convolution a window for each output
    pixel, a factor for each number as many groups as numbers. A place of -1 is padding; no window has another place twice.
    """

    source: int
    size: int
    places: Array
    weight: Array

    def applied(self, weight: Array, value: Array) -> Array:
        """`(boxes, outputs)` from values `(boxes, size)`, by a weight of the shape of this one."""
        windows = np.concatenate([value, np.zeros((len(value), 1), value.dtype)], 1)[:, self.places]  # padding is 0
        boxes, groups, count, k = windows.shape
        found = windows.swapaxes(0, 1).reshape(groups, boxes * count, k) @ weight.swapaxes(1, 2)
        return found.reshape(groups, boxes, count, -1).transpose(1, 0, 3, 2).reshape(boxes, -1)

    def pulled(self, row: Array) -> Array:
        """Coefficients of the source's vector, `(..., size)`, from those of the outputs, `(..., outputs)`."""
        if self.weight.shape[1:] == (1, 1) == self.places.shape[1:]:  # each output is one number times a factor
            return spread(row * self.weight[:, 0, 0], self.places[:, 0, 0], self.size)
        if self.places.shape[:2] == (1, 1):
            return spread(row @ self.weight[0], self.places[0, 0], self.size)
        many = row.reshape(-1, *self.weight.shape[:2], self.places.shape[1])
        live, found = (many != 0).any(2), np.zeros((len(many), self.size + 1), row.dtype)
        for group, (places, weight) in enumerate(zip(self.places, self.weight, strict=True)):
            for window in np.flatnonzero(live[:, group].any(0)):
                some = np.flatnonzero(live[:, group, window])  # the rows to which this window is anything
                met = np.ix_(some, places[window]) if len(some) < len(many) else (slice(None), places[window])
                found[met] += many[some, group, :, window] @ weight
        return found[:, :-1].reshape(*row.shape[:-1], self.size)


def spread(row: Array, places: Array, size: int) -> Array:
    """The sum of what is meant for each place, `(..., size)`, of numbers `(..., places)`."""
    if len(places) == size and bool((places == np.arange(size)).all()):
        return row
    found = np.zeros((size + 1, *row.shape[:-1]), row.dtype)
    np.add.at(found, places, np.moveaxis(row, -1, 0))
    return np.moveaxis(found[:-1], 0, -1)


@dataclass(frozen=True)
class Node:
    """`input`; `affine`, the sum of its parts and `bias (size,)`; or a function of each number of its one part,
    whose factors are 1: `Relu`, or a name in curves.py.

    terms: numbers added for one output, at most. steps: roundings that float32 makes of one, 0 where it makes none. burden:
    `(size,)`, the absolute terms behind the bias. peak: the largest factor behind an intermediate result. rooted: whether the
    weights are off by up to 2^-100 of their size, as roots are.
    """

    kind: str
    size: int
    parts: tuple[Part, ...] = ()
    bias: Any = None
    burden: Any = None
    terms: int = 0
    steps: int = 0
    peak: float = 1.0
    rooted: bool = False


@dataclass(frozen=True)
class View:
    """A tensor of the file: places in the vector of a node, in the tensor's shape."""

    node: int
    index: Array


@dataclass(frozen=True)
class Network:
    """nodes: in an order in which each comes after what it uses; the first is the input, `output` gives the last value.

    precise: the same nodes with fractions for what floats do not hold. assumed: operations whose float32 values no standard
    fixes.
    """

    nodes: list[Node]
    output: View
    sha256: str
    precise: list[Node]
    assumed: tuple[str, ...] = ()

    def of(self, arithmetic: Arithmetic) -> Network:
        """The same network, in fractions where they are asked for."""
        return replace(self, nodes=changed(self.precise, arithmetic.number)) if arithmetic.exact else self


def changed(nodes: list[Node], number: Callable[[Array], Array]) -> list[Node]:
    """The nodes with each of their numbers as another one."""
    change = lambda value: None if value is None else number(value)  # noqa: E731
    parts = [tuple(replace(p, weight=number(p.weight)) for p in n.parts) for n in nodes]
    return [replace(n, parts=p, bias=change(n.bias), burden=change(n.burden)) for n, p in zip(nodes, parts, strict=True)]


@dataclass(frozen=True)
class Question:
    """The rows `(rows, outputs)` with offsets, of which some group must not hold; groups: by row, 0 .. groups - 1."""

    rows: Array
    offsets: Array
    groups: Array

    @property
    def count(self) -> int:
        return int(self.groups.max()) + 1


@dataclass(frozen=True)
class Root:
    """A box of the property, and what must not hold on it."""

    low: Array
    high: Array
    question: Question

    def of(self, arithmetic: Arithmetic) -> Root:
        """The same numbers, in fractions where they are asked for."""
        rows, offsets = map(arithmetic.number, (self.question.rows, self.question.offsets))
        return Root(arithmetic.number(self.low), arithmetic.number(self.high), Question(rows, offsets, self.question.groups))
