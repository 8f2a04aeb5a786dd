"""ONNX files: one walk that asks the rule of each operation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from ballproof.certificate.checker.arithmetic import NotModelledError
from ballproof.certificate.checker.network import Network, Node, View
from ballproof.certificate.checker.reading.content import unpacked
from ballproof.certificate.checker.reading.nodes import Tensor, array_of, finished, sized
from ballproof.certificate.checker.reading.operators import RULES, Operations

OLDEST, NEWEST = 7, 22
"""Versions of the operators whose meaning the rules have; from 7 on shapes are broadcast as in NumPy."""


def read_network(path: Path) -> Network:
    """The network of a file. Raises `NotModelledError` for what this checker has no rule for."""
    content = unpacked(path)
    try:
        return Reading(onnx.load_from_string(content)).run(hashlib.sha256(content).hexdigest())
    except (DecodeError, KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError, ArithmeticError) as error:
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
        self.results = 1

    def run(self, sha256: str) -> Network:
        for constant in self.graph.initializer:
            self.learn(constant.name, array_of(constant))
        entries = [i for i in self.graph.input if i.name not in self.known]
        if len(entries) != 1 or len(self.graph.output) != 1 or len({i.name for i in self.graph.input}) != len(self.graph.input):
            raise NotModelledError("a network of several inputs or outputs")
        kind = entries[0].type.tensor_type
        shape = [d.dim_value or 1 for d in kind.shape.dim]
        if kind.elem_type != onnx.TensorProto.FLOAT or min(shape, default=1) < 1:
            raise NotModelledError(f"an input of shape {shape} that is not of float32 numbers")
        self.learn(entries[0].name, self.add(Node("input", sized(shape)), shape))
        for node in self.graph.node:
            self.visit(node)
        output = self.known[self.graph.output[0].name]
        if not isinstance(output, View):
            raise NotModelledError("an output that does not depend on the input")
        return finished(self.nodes, output, sha256, self.assumed)

    def visit(self, node: onnx.NodeProto) -> None:
        rule = RULES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            raise NotModelledError(f"the operation {node.op_type} (`{node.name}`)")
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        operands, self.results = [self.known[name] if name else None for name in node.input], len(node.output)
        while operands and operands[-1] is None:
            operands.pop()
        try:
            found = rule(self, *operands, **given)
        except NotModelledError as error:
            raise NotModelledError(f"{node.op_type} (`{node.name}`): {error}") from error
        many = found if isinstance(found, list) else [found]
        if len(many) != len(node.output):
            raise NotModelledError(f"{node.op_type} (`{node.name}`) with {len(node.output)} results")
        for name, value in zip(node.output, many, strict=True):
            self.learn(name, value)

    def learn(self, name: str, value: Tensor) -> None:
        """A tensor of the file, none of whose numbers is there twice: a copy, if need be."""
        if not name or name in self.known:
            raise NotModelledError(f"the name `{name}` for two values")
        if isinstance(value, View):
            flat = value.index.ravel()
            value = self.copied(value) if len(np.unique(flat)) < len(flat) or (flat < 0).any() else value
        elif value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NotModelledError(f"`{name}`, which holds numbers that are not finite")
        self.known[name] = value
