"""Tensors of a file as places in nodes, and the few ways to make nodes of which all operations are made.

Nodes with `steps=0` are no operation of the network but a way to write one, such as `max(a, b) = a + Relu(b - a)`; float32 does
not round there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

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

    def factor(self, value: View, factor: Any, shape: Sequence[int]) -> Part:
        """Each number times one of the factors, all of this shape."""
        place, weight = (np.broadcast_to(v, shape).reshape(-1, 1, 1) for v in (value.index, factor))
        return self.part(value, place, weight)

    def sum(self, *terms: tuple[View, Any], bias: Any = 0.0, steps: int | None = None, **more: Any) -> View:
        """`factor * view + ... + bias`, broadcast. steps: of float32; as many as there are terms unless it is said."""
        bias = np.asarray(bias)
        shape = np.broadcast_shapes(bias.shape, *(s for v, f in terms for s in (v.index.shape, np.shape(f))))
        sized(shape)
        parts = tuple(self.factor(value, np.asarray(factor), shape) for value, factor in terms)
        count = len(terms) + 1
        return self.affine(shape, parts, np.broadcast_to(bias, shape), count, count if steps is None else steps, **more)

    def affine(self, shape: Sequence[int], parts: tuple[Part, ...], bias: Array, terms: int, steps: int, **more: Any) -> View:
        flat = np.asarray(bias).ravel()
        flat = flat if flat.dtype == object else flat.astype(np.float64)
        more.setdefault("burden", np.abs(flat))
        return self.add(Node("affine", len(flat), parts, flat, terms=terms, steps=steps, **more), shape)

    def curve(self, kind: str, value: View, own: bool = True) -> View:
        """A function of each number. own: whether it is an operation of the network, whose float32 values no standard fixes."""
        part = self.factor(value, np.ones(value.index.shape), value.index.shape)
        found = self.add(Node(kind, value.index.size, (part,)), value.index.shape)
        return self.loose(kind, found) if own and kind in CURVES else found

    def loose(self, name: str, value: View, steps: int = 0) -> View:
        """The value of an operation that float32 is only assumed to be near to: within `(16 + steps) 2^-24 (1 + its size)`."""
        self.assumed.add(name)
        return self.sum((value, 1.0), steps=15 + steps, burden=np.ones(value.index.size))

    def relu(self, value: View) -> View:
        return self.curve("Relu", value, False)

    def copied(self, value: View) -> View:
        return self.sum((value, 1.0), steps=0)

    def maximum(self, a: View, b: View, sign: float = 1.0) -> View:
        """The larger one; for sign -1 the smaller one."""
        return self.sum((a, 1.0), (self.relu(self.sum((b, sign), (a, -sign), steps=0)), sign), steps=0)

    def bent(self, value: View, end: Any, sign: float) -> View:
        """The larger of the value and constants; for sign -1 the smaller one."""
        return self.sum((self.relu(self.sum((value, sign), bias=-sign * end, steps=0)), sign), bias=end, steps=0)

    def moved(self, value: Tensor, index: Callable[[Array], Array]) -> Tensor:
        """The same numbers in another shape or order."""
        return View(value.node, index(value.index)) if isinstance(value, View) else index(value)


def array_of(tensor: onnx.TensorProto) -> Array:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise NotModelledError("weights in other files, which the hash does not cover")
    return numpy_helper.to_array(tensor)


def sized(shape: Sequence[int]) -> int:
    """The count of a tensor's numbers, before any of them is made."""
    count = math.prod(shape)
    if count > LARGEST:
        raise NotModelledError(f"a tensor of more than {LARGEST} numbers")
    return count


def view_of(value: Any) -> View:
    if not isinstance(value, View):
        raise NotModelledError("an operation on constants alone")
    return value


def shape_of(value: Tensor) -> tuple[int, ...]:
    return tuple(value.index.shape if isinstance(value, View) else value.shape)


def whole(value: Any) -> list[int]:
    """Whole numbers of the file."""
    if isinstance(value, View) or value.dtype.kind != "i":
        raise NotModelledError("a shape, axis or place that is no constant")
    return [int(v) for v in value.ravel()]


def floats(value: Any) -> Array:
    """Numbers of the file in float64, which holds them exactly."""
    if isinstance(value, View) or value.dtype != np.float32:
        raise NotModelledError("weights that depend on the input, or are not of type float32")
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
