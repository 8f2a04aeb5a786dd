"""An ONNX file as a list of affine and rectifier nodes, every number exactly as it stands in the file. NumPy and onnx only."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from ballproof.certificate.checker.errors import NotModelledError

Array = np.ndarray[Any, np.dtype[Any]]

MOST_USERS = 12
"""Nodes that use one node: what they send back is added up, and so many roundings are allowed for."""

LARGEST = 2**27
"""Numbers of one layer's weight or places; bytes of a file."""


@dataclass(frozen=True)
class Part:
    """What one earlier node, a vector of `size` numbers, adds to an affine one.

    Output `o * windows + p` gets the sum over k of `weight[o, k] * x[places[p, k]]`: a matrix has one window, a convolution one
    for each output pixel. Without a weight, output i gets `scale[i] * x[places[0, i]]`. A place of -1 is padding.
    """

    source: int
    size: int
    places: Array
    weight: Array | None = None
    scale: Array | None = None

    @cached_property
    def signed(self) -> tuple[Array, Array, Array]:
        """The positive part, the negative part and the size of the weight."""
        assert self.weight is not None
        return np.maximum(self.weight, 0), np.minimum(self.weight, 0), np.abs(self.weight)

    def applied(self, weight: Array, value: Array) -> Array:
        """`(boxes, outputs)` from values `(boxes, size)`, by a weight of the shape of this one."""
        windows = taken(value, self.places)
        found: Array = np.swapaxes(windows @ weight.T, 1, 2).reshape(len(value), -1)
        return found

    def rows(self, outputs: Array) -> Array:
        """The coefficients of some outputs, `(outputs, size)`."""
        every = np.arange(len(outputs))
        if self.scale is not None:
            found = np.zeros((len(outputs), self.size + 1), self.scale.dtype)
            found[every, self.places[0, outputs]] = self.scale[outputs]
        else:
            assert self.weight is not None
            unit, window = np.divmod(outputs, len(self.places))
            found = np.zeros((len(outputs), self.size + 1), self.weight.dtype)
            found[every[:, None], self.places[window]] = self.weight[unit]
        return found[:, :-1]

    def pulled(self, row: Array) -> Array:
        """Coefficients of the source's vector, `(..., size)`, from those of the outputs, `(..., outputs)`."""
        if self.scale is not None:
            return spread(row * self.scale, self.places[0], self.size)
        assert self.weight is not None
        if len(self.places) == 1:
            return spread(row @ self.weight, self.places[0], self.size)
        many = row.reshape(-1, *row.shape[-1:])
        found = np.zeros((self.size + 1, len(many)), row.dtype)
        wide = self.weight.T @ many.T.reshape(-1, len(self.places), len(many)).swapaxes(0, 1)
        for places, value in zip(self.places, wide, strict=True):  # a window has no place twice but padding
            found[places] += value
        return np.ascontiguousarray(found[:-1].T).reshape(*row.shape[:-1], self.size)


def taken(value: Array, places: Array) -> Array:
    """The numbers at these places of each vector, `(boxes, *places)`; padding is 0."""
    if places.size == value.shape[1] and bool((places.ravel() == np.arange(value.shape[1])).all()):
        return value.reshape(len(value), *places.shape)
    padded = np.concatenate([value, np.zeros((len(value), 1), value.dtype)], 1)
    return padded[:, places]


def spread(row: Array, places: Array, size: int) -> Array:
    """The sum of what is meant for each place, `(..., size)`, of numbers `(..., places)`."""
    if len(places) == size and bool((places == np.arange(size)).all()):
        return row
    found = np.zeros((*row.shape[:-1], size + 1), row.dtype)
    if len(np.unique(places)) == len(places):
        found[..., places] = row
    else:
        for k, place in enumerate(places):
            found[..., place] += row[..., k]
    return found[..., :-1]


@dataclass(frozen=True)
class Node:
    """An affine node: the sum of its parts and `bias (size,)`; a rectifier: `max(x[take], 0)` of its one part; or the input.

    terms: numbers added for one output, at most; of an affine node.
    """

    kind: str
    size: int
    parts: tuple[Part, ...] = ()
    bias: Array | None = None
    terms: int = 0

    @property
    def take(self) -> Array:
        """Of a rectifier, the places of its arguments in the vector of its source."""
        return np.asarray(self.parts[0].places[0])


@dataclass(frozen=True)
class View:
    """A tensor of the file: places in the vector of a node, in the tensor's shape."""

    node: int
    index: Array


@dataclass(frozen=True)
class Network:
    """nodes: in an order in which each comes after what it uses; the first is the input, `output` gives the last value."""

    nodes: list[Node]
    output: View
    sha256: str

    def of(self, number: Any) -> Network:
        """The same network with `number` done to every array of its weights."""
        change = lambda value: None if value is None else number(value)  # noqa: E731
        parts = [tuple(replace(p, weight=change(p.weight), scale=change(p.scale)) for p in n.parts) for n in self.nodes]
        return replace(self, nodes=[replace(n, parts=p, bias=change(n.bias)) for n, p in zip(self.nodes, parts, strict=True)])


def unpacked(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise NotModelledError(f"{path.name}, which is damaged: {error}") from error
    if len(content) > LARGEST:
        raise NotModelledError(f"{path.name}, a file of more than {LARGEST} bytes")
    return content


def read_network(path: Path) -> Network:
    """The network of a file. Raises `NotModelledError` for what this checker has no rule for."""
    content = unpacked(path)
    try:
        return _Reading(onnx.load_from_string(content)).run(hashlib.sha256(content).hexdigest())
    except (DecodeError, KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise NotModelledError(f"this file: {type(error).__name__}: {str(error)[:200]}") from error


def _used(nodes: list[Node], output: View, sha256: str) -> Network:
    """Without the nodes that the output does not depend on."""
    used = {0, output.node}
    for place in reversed(range(len(nodes))):
        if place in used:
            used |= {p.source for p in nodes[place].parts}
    users = [p.source for i, n in enumerate(nodes) if i in used for p in n.parts]
    if any(users.count(place) > MOST_USERS for place in used):
        raise NotModelledError(f"a value that more than {MOST_USERS} nodes use")
    order = {old: new for new, old in enumerate(sorted(used))}
    kept = [
        replace(n, parts=tuple(replace(p, source=order[p.source]) for p in n.parts)) for i, n in enumerate(nodes) if i in used
    ]
    return Network(kept, View(order[output.node], output.index), sha256)


RULES = {"Constant", "Identity", "Flatten", "Reshape", "Transpose", "Relu", "Add", "Sub", "Mul", "MatMul", "Gemm", "Conv"}


class _Reading:
    """One walk through the file. A rule is named as its operation, and takes the node, its operands and its attributes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        if model.functions or self.graph.sparse_initializer:
            raise NotModelledError("functions of the file's own, or sparse weights")
        self.known: dict[str, View | Array] = {}
        self.nodes: list[Node] = []

    def run(self, sha256: str) -> Network:
        for constant in self.graph.initializer:
            self._learn(constant.name, _tensor(constant))
        entries = [i for i in self.graph.input if i.name not in self.known]
        if len(entries) != 1 or len(self.graph.output) != 1 or len(self.graph.input) != 1 + len(self._defaults()):
            raise NotModelledError("a network of several inputs or outputs")
        kind = entries[0].type.tensor_type
        if kind.elem_type != onnx.TensorProto.FLOAT:
            raise NotModelledError("an input that is not of float32 numbers")
        shape = [d.dim_value or 1 for d in kind.shape.dim]
        if min(shape, default=1) < 1:
            raise NotModelledError(f"an input of shape {shape}")
        count = _sized(shape)
        self.nodes.append(Node("input", count))
        self._learn(entries[0].name, View(0, np.arange(count).reshape(shape)))
        for node in self.graph.node:
            rule = getattr(self, f"_{node.op_type.lower()}") if node.op_type in RULES else None
            if rule is None or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
                raise NotModelledError(f"the operation {node.op_type} (`{node.name}`)")
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self._learn(node.output[0], rule([self.known[name] for name in node.input if name], **given))
        output = self.known[self.graph.output[0].name]
        if not isinstance(output, View):
            raise NotModelledError("an output that does not depend on the input")
        return _used(self.nodes, output, sha256)

    def _defaults(self) -> list[str]:
        """Inputs of the file that have a value in it."""
        return [i.name for i in self.graph.input if i.name in self.known]

    def _learn(self, name: str, value: View | Array) -> None:
        if name in self.known:
            raise NotModelledError(f"the name `{name}` for two values")
        if not isinstance(value, View) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NotModelledError(f"`{name}`, which holds numbers that are not finite")
        self.known[name] = value

    def _constant(self, operands: list[View | Array], value: onnx.TensorProto) -> Array:
        return _tensor(value)

    def _identity(self, operands: list[View | Array]) -> View | Array:
        return operands[0]

    def _flatten(self, operands: list[View | Array], axis: int = 1) -> View | Array:
        return _moved(operands[0], lambda i: i.reshape(int(np.prod(i.shape[:axis])), -1))

    def _reshape(self, operands: list[View | Array], allowzero: int = 0) -> View | Array:
        shape = operands[1]
        if allowzero or isinstance(shape, View):
            raise NotModelledError("a Reshape of this form")
        target = [int(n) for n in shape]
        return _moved(operands[0], lambda i: i.reshape([i.shape[k] if n == 0 else n for k, n in enumerate(target)]))

    def _transpose(self, operands: list[View | Array], perm: list[int] | None = None) -> View | Array:
        return _moved(operands[0], lambda i: i.transpose(perm))

    def _relu(self, operands: list[View | Array]) -> View:
        value = _view(operands[0])
        take = value.index.ravel()
        self.nodes.append(Node("relu", len(take), (Part(value.node, self.nodes[value.node].size, take[None]),)))
        return View(len(self.nodes) - 1, np.arange(len(take)).reshape(value.index.shape))

    def _affine(self, shape: tuple[int, ...], parts: list[Part], bias: Array, terms: int) -> View:
        size = int(np.prod(shape))
        self.nodes.append(Node("affine", size, tuple(parts), np.asarray(bias, np.float64).ravel(), terms))
        return View(len(self.nodes) - 1, np.arange(size).reshape(shape))

    def _part(self, value: View, places: Array, weight: Array | None = None, scale: Array | None = None) -> Part:
        if max(places.size, 0 if weight is None else weight.size) > LARGEST:
            raise NotModelledError(f"a layer of more than {LARGEST} numbers")
        return Part(value.node, self.nodes[value.node].size, places, weight, scale)

    def _add(self, operands: list[View | Array], sign: float = 1.0) -> View:
        first, second = operands
        shape = np.broadcast_shapes(*(v.index.shape if isinstance(v, View) else v.shape for v in operands))
        size, parts = _sized(shape), []
        bias = np.zeros(shape)
        for value, factor in ((first, 1.0), (second, sign)):
            if isinstance(value, View):
                take = np.broadcast_to(value.index, shape).reshape(1, -1)
                parts.append(self._part(value, take, scale=np.full(size, factor)))
            else:
                bias = bias + factor * _floats(value)
        if not parts:
            raise NotModelledError("a sum of constants")
        value = first if isinstance(first, View) else second
        if len(parts) == 1 and (sign > 0 or value is first) and (joined := self._joined(_view(value), shape, bias)):
            return joined
        return self._affine(shape, parts, bias, 2)

    def _joined(self, value: View, shape: tuple[int, ...], bias: Array) -> View | None:
        """The matrix product before a bias and the bias as one node."""
        node = self.nodes[value.node]
        whole = value.index.shape == shape and bool((value.index.ravel() == np.arange(value.index.size)).all())
        if node.kind != "affine" or not whole or node.size != value.index.size or node.bias is None or node.bias.any():
            return None
        self.nodes.append(replace(node, bias=bias.ravel(), terms=node.terms + 1))
        return View(len(self.nodes) - 1, value.index)

    def _sub(self, operands: list[View | Array]) -> View:
        return self._add(operands, -1.0)

    def _mul(self, operands: list[View | Array]) -> View:
        value, factor = operands if isinstance(operands[0], View) else operands[::-1]
        if not isinstance(value, View) or isinstance(factor, View):
            raise NotModelledError("a product of two tensors that both depend on the input, or of two constants")
        shape = np.broadcast_shapes(value.index.shape, factor.shape)
        _sized(shape)
        take = np.broadcast_to(value.index, shape).reshape(1, -1)
        scale = np.broadcast_to(_floats(factor), shape).ravel()
        return self._affine(shape, [self._part(value, take, scale=scale)], np.zeros(shape), 1)

    def _product(self, value: View, weight: Array, bias: Array, shape: tuple[int, ...]) -> View:
        """weight `(out, in)` on all numbers of a view."""
        if value.index.size != weight.shape[1]:
            raise NotModelledError("a matrix product on several rows")
        part = self._part(value, value.index.reshape(1, -1), _floats(weight))
        return self._affine(shape, [part], np.broadcast_to(_floats(bias), (weight.shape[0],)), weight.shape[1] + 1)

    def _matmul(self, operands: list[View | Array]) -> View:
        first, second = operands
        if isinstance(first, View) and not isinstance(second, View) and second.ndim == 2 and first.index.ndim <= 2:
            return self._product(first, second.T, np.zeros(1, np.float32), (*first.index.shape[:-1], second.shape[1]))
        if isinstance(second, View) and not isinstance(first, View) and first.ndim == 2 and second.index.ndim == 2:
            return self._product(second, first, np.zeros(1, np.float32), (len(first), second.index.shape[1]))
        raise NotModelledError("a matrix product of this form")

    def _gemm(
        self, operands: list[View | Array], alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
    ) -> View:
        value, weight, *rest = operands
        bias = rest[0] if rest else np.zeros(1, np.float32)
        if alpha != 1.0 or beta != 1.0 or transA or isinstance(weight, View) or isinstance(bias, View):
            raise NotModelledError("a Gemm with alpha, beta, transA, or without constant weights")
        weight = weight if transB else weight.T
        return self._product(_view(value), weight, bias.ravel(), (1, len(weight)))

    def _conv(
        self,
        operands: list[View | Array],
        pads: tuple[int, ...] = (0, 0, 0, 0),
        strides: tuple[int, ...] = (1, 1),
        dilations: tuple[int, ...] = (1, 1),
        group: int = 1,
        auto_pad: bytes = b"NOTSET",
        kernel_shape: tuple[int, ...] | None = None,
    ) -> View:
        value, weight, *rest = operands
        if isinstance(weight, View) or any(isinstance(r, View) for r in rest) or weight.ndim != 4:
            raise NotModelledError("a convolution that is not in two dimensions with constant weights")
        pixels, (out, channels, height, width) = _view(value).index, weight.shape
        plain = group == 1 and auto_pad == b"NOTSET" and pixels.ndim == 4 and pixels.shape[:2] == (1, channels)
        if not plain or min(pads) < 0 or (kernel_shape is not None and tuple(kernel_shape) != (height, width)):
            raise NotModelledError("a convolution of groups, of several images, or with padding that is not written out")
        (top, left, bottom, right), (down, across), (high, wide) = pads, strides, dilations
        padded = np.pad(pixels[0], ((0, 0), (top, bottom), (left, right)), constant_values=-1)
        tall, broad = high * (height - 1) + 1, wide * (width - 1) + 1
        views = np.lib.stride_tricks.sliding_window_view(padded, (tall, broad), (1, 2))[:, ::down, ::across, ::high, ::wide]
        _, rows, columns, _, _ = views.shape
        places = views.transpose(1, 2, 0, 3, 4).reshape(rows * columns, -1)
        part = self._part(_view(value), places, _floats(weight).reshape(out, -1))
        bias = np.repeat(_floats(rest[0]).reshape(out), rows * columns) if rest else np.zeros(out * rows * columns)
        return self._affine((1, out, rows, columns), [part], bias, places.shape[1] + 1)


def _tensor(tensor: onnx.TensorProto) -> Array:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise NotModelledError("weights in other files, which the hash does not cover")
    return numpy_helper.to_array(tensor)


def _sized(shape: Sequence[int]) -> int:
    """The count of a tensor's numbers, before any of them is made."""
    count = math.prod(shape)
    if count > LARGEST:
        raise NotModelledError(f"a tensor of more than {LARGEST} numbers")
    return count


def _view(value: View | Array) -> View:
    if not isinstance(value, View):
        raise NotModelledError("an operation on constants alone")
    return value


def _floats(value: Any) -> Array:
    """Numbers of the file in float64, which holds them exactly."""
    if value.dtype != np.float32:
        raise NotModelledError(f"weights of type {value.dtype}")
    return np.asarray(value, np.float64)


def _moved(value: View | Array, index: Any) -> View | Array:
    """The same numbers in another shape or order."""
    return View(value.node, index(value.index)) if isinstance(value, View) else index(value)
