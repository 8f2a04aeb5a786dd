"""Tensors of a file as places in nodes, and the few ways to make nodes of which all operations are made.

Nodes with `steps=0` are no operation of the network but a way to write one, such as `max(a, b) = a + Relu(b - a)`; float32 does
not round there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Array, NotModelledError
from ballproof.certificate.checker.curves import CURVES
from ballproof.certificate.checker.network import MOST_USERS, Network, Node, Part, View, changed
from ballproof.certificate.checker.reading.content import LARGEST

Tensor = View | Array


class Nodes:
    """The nodes that were made so far, and the operations whose float32 values are assumed."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.assumed: set[str] = set()
        self.numbers = 0

    def add(self, node: Node, shape: Sequence[int]) -> View:
        self.nodes.append(node)
        return View(len(self.nodes) - 1, np.arange(node.size).reshape(shape))

    def part(self, value: View, places: Array, weight: Array) -> Part:
        self.numbers += places.size + weight.size
        if self.numbers > LARGEST:
            raise NotModelledError(f"a network of more than {LARGEST} numbers")
        if (places.shape[0], places.shape[2]) != (weight.shape[0], weight.shape[2]):
            raise NotModelledError(f"weights of shape {weight.shape} for windows of shape {places.shape}")
        return Part(value.node, self.nodes[value.node].size, places, weight)

    def sum(self, *terms: tuple[Any, Any], steps: int | None = None, **more: Any) -> View:
        """`factor * tensor + ...`, broadcast; one of the tensors may be a constant, whose factor is 1 or -1.

        steps: of float32; as many as there are terms unless it is said.
        """
        shape = np.broadcast_shapes(*(s for value, factor in terms for s in (shape_of(value), np.shape(factor))))
        sized(shape)
        parts = tuple(self.factor(v, f, shape) for v, f in terms if isinstance(v, View))
        (bias,) = [np.asarray(-v if f < 0 else v) for v, f in terms if not isinstance(v, View)] or [np.zeros(())]
        count = len(parts) + 1
        return self.affine(shape, parts, np.broadcast_to(bias, shape), count, len(terms) if steps is None else steps, **more)

    def factor(self, value: View, factor: Any, shape: Sequence[int]) -> Part:
        """Each number times one of the factors, all of this shape."""
        place, weight = (np.broadcast_to(v, shape).reshape(-1, 1, 1) for v in (value.index, factor))
        return self.part(value, place, weight)

    def affine(self, shape: Sequence[int], parts: tuple[Part, ...], bias: Array, terms: int, steps: int, **more: Any) -> View:
        flat = np.asarray(bias).ravel()
        more.setdefault("burden", np.abs(flat))
        return self.add(Node("affine", len(flat), parts, flat, terms=terms, steps=steps, **more), shape)

    def joined(self, value: View, bias: Array) -> View | None:
        """The matrix product, or other sum, before a constant and the constant as one node; None where it is not so simple."""
        node, shape = self.nodes[value.node], value.index.shape
        fits = value.index.size == node.size and np.broadcast_shapes(shape, bias.shape) == shape
        if node.kind != "affine" or not node.steps or not fits or node.burden.any():
            return None
        flat = np.zeros(node.size)
        flat[value.index] = bias
        own = replace(node, bias=flat, burden=np.abs(flat), terms=node.terms + 1, steps=node.steps + 1)
        return View(self.add(own, (node.size,)).node, value.index)

    def curve(self, kind: str, value: View, own: bool = True) -> View:
        """A function of each number. own: whether it is an operation of the network, whose float32 values no standard fixes."""
        part = self.factor(value, 1.0, value.index.shape)
        found = self.add(Node(kind, value.index.size, (part,)), value.index.shape)
        return self.loose(kind, found) if own and kind in CURVES else found

    def loose(self, name: str, value: View, steps: int = 0) -> View:
        """The value of an operation that float32 is only assumed to be near to: within `(16 + steps) 2^-24 (1 + its size)`."""
        self.assumed.add(name)
        return self.sum((value, 1.0), steps=15 + steps, burden=np.ones(value.index.size))

    def larger(self, a: Any, b: Any, sign: float = 1.0) -> View:
        """The larger one of two tensors, of which one may be a constant; for sign -1 the smaller one."""
        base, other = sorted((a, b), key=lambda v: isinstance(v, View))
        bent = self.curve("Relu", self.sum((other, sign), (base, -sign), steps=0))
        return self.sum((base, 1.0), (bent, sign), steps=0)


def sized(shape: Sequence[int]) -> int:
    """The count of a tensor's numbers, before any of them is made."""
    count = math.prod(shape)
    if count > LARGEST:
        raise NotModelledError(f"a tensor of more than {LARGEST} numbers")
    return count


def shape_of(value: Any) -> tuple[int, ...]:
    return np.shape(value.index if isinstance(value, View) else value)


def floats(value: Any) -> Any:
    """Numbers of the file in float64, which holds them exactly; whole numbers, and what depends on the input, as they are."""
    if isinstance(value, View) or value is None or value.dtype.kind == "i":
        return value
    if value.dtype != np.float32:
        raise NotModelledError("weights that are not of type float32")
    return np.asarray(value, np.float64)


def _nearest(value: Array) -> Array:
    """The nearest floats, each off by less than one rounding."""
    found = np.asarray(value, np.float64)
    size = np.abs(found)
    if not (((size > 2.0**-900) & (size < 2.0**900)) | (value == 0)).all():
        raise NotModelledError("weights that float64 does not hold")
    return found


def finished(nodes: list[Node], output: View, sha256: str, assumed: set[str]) -> Network:
    """Without the nodes that the output does not depend on. Weights may be fractions: floats are made of them here."""
    used = {0, output.node}
    for place in reversed(range(len(nodes))):
        if place in used:
            used |= {p.source for p in nodes[place].parts}
    order = {old: new for new, old in enumerate(sorted(used))}
    users = [p.source for place in used for p in nodes[place].parts]
    if any(users.count(place) > MOST_USERS for place in used):
        raise NotModelledError(f"a value that more than {MOST_USERS} nodes use")
    own = [replace(nodes[i], parts=tuple(replace(p, source=order[p.source]) for p in nodes[i].parts)) for i in sorted(used)]
    return Network(changed(own, _nearest), View(order[output.node], output.index), sha256, own, tuple(sorted(assumed)))
