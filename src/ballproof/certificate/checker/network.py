"""An ONNX file as a list of affine and rectifier nodes, every number exactly as it stands in the file. NumPy and onnx only."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from ballproof.certificate.checker.errors import NotModelledError

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST = 2**27
"""Numbers of one matrix; 1 GiB."""


@dataclass(frozen=True)
class Part:
    """What one earlier node adds to an affine one: `matrix @ x`, or `scale * x[take]` where there is no matrix."""

    source: int
    matrix: Array | None = None
    scale: Array | None = None
    take: Array | None = None

    @cached_property
    def signed(self) -> tuple[Array, Array, Array]:
        """The positive part, the negative part and the size of the matrix, transposed."""
        assert self.matrix is not None
        kinds = np.maximum(self.matrix, 0), np.minimum(self.matrix, 0), np.abs(self.matrix)
        return tuple(np.ascontiguousarray(k.T) for k in kinds)  # type: ignore[return-value]


@dataclass(frozen=True)
class Node:
    """An affine node: the sum of its parts and `bias (size,)`; a rectifier: `max(x[take], 0)` of its one part; or the input.

    terms: products added for one number, at most; of an affine node.
    """

    kind: str
    size: int
    parts: tuple[Part, ...] = ()
    bias: Array | None = None
    terms: int = 0


@dataclass(frozen=True)
class View:
    """A tensor of the file: places in the vector of a node, in the tensor's shape."""

    node: int
    index: Array


@dataclass
class Network:
    """nodes: in an order in which each comes after what it uses; the first is the input, `output` gives the last value."""

    nodes: list[Node]
    output: View
    sha256: str


def unpacked(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def read_network(path: Path) -> Network:
    """The network of a file. Raises `NotModelledError` for what this checker has no rule for."""
    content = unpacked(path)
    return _Reading(onnx.load_from_string(content)).run(hashlib.sha256(content).hexdigest())


def _used(nodes: list[Node], output: View, sha256: str) -> Network:
    """Without the nodes that the output does not depend on."""
    used = {0, output.node}
    for place in reversed(range(len(nodes))):
        if place in used:
            used |= {p.source for p in nodes[place].parts}
    order = {old: new for new, old in enumerate(sorted(used))}
    kept = [
        replace(n, parts=tuple(replace(p, source=order[p.source]) for p in n.parts)) for i, n in enumerate(nodes) if i in used
    ]
    return Network(kept, View(order[output.node], output.index), sha256)


class _Reading:
    """One walk through the file."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants: dict[str, Array] = {i.name: numpy_helper.to_array(i) for i in self.graph.initializer}
        self.views: dict[str, View] = {}
        self.nodes: list[Node] = []

    def run(self, sha256: str) -> Network:
        (entry,) = [i for i in self.graph.input if i.name not in self.constants]
        shape = [d.dim_value or 1 for d in entry.type.tensor_type.shape.dim]
        count = int(np.prod(shape))
        self.nodes.append(Node("input", count))
        self.views[entry.name] = View(0, np.arange(count).reshape(shape))
        for node in self.graph.node:
            rule = getattr(self, f"_{node.op_type.lower()}", None)
            if rule is None:
                raise NotModelledError(f"the operation {node.op_type} (`{node.name}`)")
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            found = rule(node, given)
            if isinstance(found, View):
                self.views[node.output[0]] = found
            else:
                self.constants[node.output[0]] = found
        if len(self.graph.output) != 1 or self.graph.output[0].name not in self.views:
            raise NotModelledError("a network of several outputs, or of one that does not depend on the input")
        return _used(self.nodes, self.views[self.graph.output[0].name], sha256)

    def _operand(self, name: str) -> View | Array:
        return self.views[name] if name in self.views else self.constants[name]

    def _view(self, name: str) -> View:
        if name not in self.views:
            raise NotModelledError(f"an operation on the constant `{name}` alone")
        return self.views[name]

    def _constant(self, node: onnx.NodeProto, given: dict[str, Any]) -> Array:
        if "value" not in given:
            raise NotModelledError("a Constant without a tensor")
        return numpy_helper.to_array(given["value"])

    def _identity(self, node: onnx.NodeProto, given: dict[str, Any]) -> View | Array:
        return self._operand(node.input[0])

    def _moved(self, name: str, index: Any) -> View | Array:
        """The same numbers in another shape or order."""
        value = self._operand(name)
        return View(value.node, index(value.index)) if isinstance(value, View) else index(value)

    def _flatten(self, node: onnx.NodeProto, given: dict[str, Any]) -> View | Array:
        axis = given.get("axis", 1)
        return self._moved(node.input[0], lambda i: i.reshape(int(np.prod(i.shape[:axis])), -1))

    def _reshape(self, node: onnx.NodeProto, given: dict[str, Any]) -> View | Array:
        target = [int(n) for n in self.constants[node.input[1]]]
        return self._moved(node.input[0], lambda i: i.reshape([i.shape[k] if n == 0 else n for k, n in enumerate(target)]))

    def _transpose(self, node: onnx.NodeProto, given: dict[str, Any]) -> View | Array:
        return self._moved(node.input[0], lambda i: i.transpose(given.get("perm")))

    def _relu(self, node: onnx.NodeProto, given: dict[str, Any]) -> View:
        value = self._view(node.input[0])
        take = value.index.ravel()
        self.nodes.append(Node("relu", len(take), (Part(value.node, take=take),)))
        return View(len(self.nodes) - 1, np.arange(len(take)).reshape(value.index.shape))

    def _affine(self, shape: tuple[int, ...], parts: list[Part], bias: Array, terms: int) -> View:
        size = int(np.prod(shape))
        self.nodes.append(Node("affine", size, tuple(parts), np.asarray(bias, np.float64).ravel(), terms))
        return View(len(self.nodes) - 1, np.arange(size).reshape(shape))

    def _add(self, node: onnx.NodeProto, given: dict[str, Any], sign: float = 1.0) -> View | Array:
        first, second = (self._operand(n) for n in node.input)
        if not isinstance(first, View) and not isinstance(second, View):
            raise NotModelledError(f"{node.op_type} of constants")
        shape = np.broadcast_shapes(*(v.index.shape if isinstance(v, View) else v.shape for v in (first, second)))
        size, parts, bias = int(np.prod(shape)), [], np.zeros(shape)
        for value, factor in ((first, 1.0), (second, sign)):
            if isinstance(value, View):
                take = np.broadcast_to(value.index, shape).ravel()
                parts.append(Part(value.node, scale=np.full(size, factor), take=take))
            else:
                bias = bias + factor * value.astype(np.float64)
        value = first if isinstance(first, View) else second
        if len(parts) == 1 and (sign > 0 or value is first) and (joined := self._joined(value, shape, bias)):
            return joined
        return self._affine(shape, parts, bias, len(parts))

    def _joined(self, value: View | Array, shape: tuple[int, ...], bias: Array) -> View | None:
        """The matrix product before a bias and the bias as one node, where that is exact."""
        assert isinstance(value, View)
        node = self.nodes[value.node]
        whole = value.index.shape == shape and bool((value.index.ravel() == np.arange(node.size)).all())
        if node.kind != "affine" or not whole or node.size != value.index.size or node.bias is None or node.bias.any():
            return None
        self.nodes.append(replace(node, bias=bias.ravel(), terms=node.terms + 1))
        return View(len(self.nodes) - 1, value.index)

    def _sub(self, node: onnx.NodeProto, given: dict[str, Any]) -> View | Array:
        return self._add(node, given, -1.0)

    def _mul(self, node: onnx.NodeProto, given: dict[str, Any]) -> View:
        first, second = (self._operand(n) for n in node.input)
        value, factor = (first, second) if isinstance(first, View) else (second, first)
        if not isinstance(value, View) or isinstance(factor, View):
            raise NotModelledError("a product of two tensors that both depend on the input, or of two constants")
        shape = np.broadcast_shapes(value.index.shape, factor.shape)
        take = np.broadcast_to(value.index, shape).ravel()
        scale = np.broadcast_to(factor.astype(np.float64), shape).ravel()
        return self._affine(shape, [Part(value.node, scale=scale, take=take)], np.zeros(shape), 1)

    def _placed(self, value: View, weight: Array, index: Array) -> Array:
        """The matrix whose row r holds `weight[r]` at the places `index[r]` of the node's vector."""
        size = self.nodes[value.node].size
        if weight.shape[0] * size > LARGEST:
            raise NotModelledError(f"a layer of {weight.shape[0]} x {size} numbers")
        matrix = np.zeros((weight.shape[0], size))
        np.add.at(matrix, (np.arange(len(weight))[:, None], index), weight)
        return matrix

    def _matmul(self, node: onnx.NodeProto, given: dict[str, Any]) -> View:
        first, second = (self._operand(n) for n in node.input)
        if isinstance(first, View) and not isinstance(second, View) and second.ndim == 2 and first.index.ndim <= 2:
            return self._product(first, second.T, np.zeros(second.shape[1]))
        raise NotModelledError("a matrix product of this form")

    def _product(self, value: View, weight: Array, bias: Array) -> View:
        """weight `(out, in)` on the last axis of a view of one row."""
        if value.index.size != weight.shape[1]:
            raise NotModelledError("a matrix product on several rows")
        index = np.broadcast_to(value.index.ravel(), weight.shape)
        matrix = self._placed(value, weight.astype(np.float64), index)
        shape = (*value.index.shape[:-1], weight.shape[0])
        return self._affine(shape, [Part(value.node, matrix)], np.broadcast_to(bias, (weight.shape[0],)), weight.shape[1])

    def _gemm(self, node: onnx.NodeProto, given: dict[str, Any]) -> View:
        if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
            raise NotModelledError("a Gemm with alpha, beta or transA")
        weight = self.constants[node.input[1]]
        bias = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(1)
        return self._product(self._view(node.input[0]), weight if given.get("transB", 0) else weight.T, bias.ravel())

    def _conv(self, node: onnx.NodeProto, given: dict[str, Any]) -> View:
        value, weight = self._view(node.input[0]), self.constants[node.input[1]].astype(np.float64)
        plain = given.get("group", 1) == 1 and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        if value.index.ndim != 4 or value.index.shape[0] != 1 or not plain:
            raise NotModelledError("a convolution that is not of one image in two dimensions, of one group")
        out, _, height, width = weight.shape
        top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
        (down, across), (high, wide) = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
        padded = np.pad(value.index[0] + 1, ((0, 0), (top, bottom), (left, right)))  # 0 is padding
        rows = (padded.shape[1] - high * (height - 1) - 1) // down + 1
        columns = (padded.shape[2] - wide * (width - 1) - 1) // across + 1
        corners = [(r * down, c * across) for r in range(rows) for c in range(columns)]
        tall, broad = high * (height - 1) + 1, wide * (width - 1) + 1
        windows = np.stack([padded[:, r : r + tall : high, c : c + broad : wide].ravel() for r, c in corners])
        size = self.nodes[value.node].size
        if out * rows * columns * size > LARGEST:
            raise NotModelledError(f"a convolution of {out * rows * columns} x {size} numbers")
        matrix = np.zeros((out, rows * columns, size + 1))
        flat = weight.reshape(out, -1)
        for place in range(rows * columns):
            matrix[:, place, windows[place]] = flat  # padding's own column is dropped below
        matrix = np.ascontiguousarray(matrix[:, :, 1:]).reshape(-1, size)
        bias = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(out)
        shape = (1, out, rows, columns)
        return self._affine(shape, [Part(value.node, matrix)], np.repeat(bias, rows * columns), flat.shape[1])
