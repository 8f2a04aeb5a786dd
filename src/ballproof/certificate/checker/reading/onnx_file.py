"""ONNX files: one walk. The package `onnx` says what types and shapes the results of an operation have, and refuses what is no
use of it; a rule says what the operation computes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from ballproof.certificate.checker.arithmetic import Array, NotModelledError
from ballproof.certificate.checker.network import Network, Node, View
from ballproof.certificate.checker.reading.content import unpacked
from ballproof.certificate.checker.reading.nodes import Tensor, finished, floats, shape_of, sized
from ballproof.certificate.checker.reading.operators import MOVES, RULES, Operations

OLDEST, NEWEST = 7, 22
"""Versions of the operators whose meaning the rules have; from 7 on shapes are broadcast as in NumPy."""

WRONG = (
    *(KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError, ArithmeticError, AssertionError, RuntimeError),
    *(DecodeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, onnx.defs.SchemaError),
)
"""What a file that is no network, or another one than the rules know, ends in."""


def read_network(path: Path) -> Network:
    """The network of a file. Raises `NotModelledError` for what this checker has no rule for."""
    content = unpacked(path)
    try:
        return Reading(onnx.load_from_string(content)).run(hashlib.sha256(content).hexdigest())
    except WRONG as error:
        raise NotModelledError(f"this file: {type(error).__name__}: {str(error)[:200]}") from error


class Reading(Operations):
    """One walk through the file."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.graph = model.graph
        (self.version,) = {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")}
        if model.functions or self.graph.sparse_initializer or not OLDEST <= self.version <= NEWEST:
            raise NotModelledError(f"functions of the file's own, sparse weights, or operators of version {self.version}")
        self.known: dict[str, Tensor] = {}
        self.made = 0  # numbers of all results

    def run(self, sha256: str) -> Network:
        for constant in self.graph.initializer:
            self.learn(constant.name, array_of(constant))
        entries = [i for i in self.graph.input if i.name not in self.known]
        if len(entries) != 1 or len(self.graph.output) != 1 or len({i.name for i in self.graph.input}) != len(self.graph.input):
            raise NotModelledError("a network of several inputs or outputs")
        kind = entries[0].type.tensor_type
        shape = [d.dim_value or 1 for d in kind.shape.dim]
        if kind.elem_type != TensorProto.FLOAT or min(shape, default=1) < 1:
            raise NotModelledError(f"an input of shape {shape} that is not of float32 numbers")
        self.learn(entries[0].name, self.add(Node("input", sized(shape)), shape))
        for node in self.graph.node:
            if node.op_type not in RULES or node.domain not in ("", "ai.onnx"):
                raise NotModelledError(f"the operation {node.op_type} (`{node.name}`)")
            try:
                self.visit(node)
            except (NotModelledError, *WRONG) as error:
                raise NotModelledError(f"{node.op_type} (`{node.name}`): {str(error)[:200]}") from error
        output = self.known[self.graph.output[0].name]
        if not isinstance(output, View):
            raise NotModelledError("an output that does not depend on the input")
        return finished(self.nodes, output, sha256, self.assumed)

    def visit(self, node: onnx.NodeProto) -> None:
        operands: list[Any] = [self.known[name] if name else None for name in node.input]
        while operands and operands[-1] is None:
            operands.pop()
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        settings = {name: array_of(v) if isinstance(v, TensorProto) else v for name, v in settings.items()}
        shapes, self.node = self.shapes(node, operands), node
        if node.op_type not in MOVES:
            operands = [floats(value) for value in operands]
            if not any(isinstance(value, View) for value in operands):
                raise NotModelledError("an operation on constants alone")
        found = RULES[node.op_type](self, *operands, **settings)
        for name, shape, value in zip(node.output, shapes, found if isinstance(found, list) else [found], strict=True):
            self.learn(name, View(value.node, value.index.reshape(shape)) if isinstance(value, View) else value.reshape(shape))

    def shapes(self, node: onnx.NodeProto, operands: list[Any]) -> list[list[int]]:
        """Of the results, before any of them is made."""
        given = [(name, value) for name, value in zip(node.input, operands, strict=False) if value is not None]
        kinds = {n: TensorProto.FLOAT if isinstance(v, View) else helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in given}
        types = {n: helper.make_tensor_type_proto(kinds[n], shape_of(v)) for n, v in given}
        data = {n: numpy_helper.from_array(v) for n, v in given if kinds[n] == TensorProto.INT64}
        schema = onnx.defs.get_schema(node.op_type, self.version)
        told = onnx.shape_inference.infer_node_outputs(schema, node, types, data)
        found = [told[name].tensor_type for name in node.output]
        if not all(t.HasField("shape") and all(d.HasField("dim_value") for d in t.shape.dim) for t in found):
            raise NotModelledError("a result whose shape depends on more than shapes and constants")
        sizes = [[d.dim_value for d in t.shape.dim] for t in found]
        self.made += sum(map(sized, sizes))
        sized([self.made])
        return sizes

    def learn(self, name: str, value: Tensor) -> None:
        """A tensor of the file, none of whose numbers is there twice: a copy, if need be."""
        if not name or name in self.known:
            raise NotModelledError(f"the name `{name}` for two values")
        if isinstance(value, View):
            flat = value.index.ravel()
            if len(np.unique(flat)) < len(flat) or (flat < 0).any():
                value = self.sum((value, 1.0), steps=0)
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NotModelledError(f"`{name}`, which holds numbers that are not finite")
        self.known[name] = value


def array_of(tensor: TensorProto) -> Array:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise NotModelledError("weights in other files, which the hash does not cover")
    return numpy_helper.to_array(tensor)
