"""One pass over the nodes of an ONNX model: each becomes nodes of a graph, or a constant."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from math import prod
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import Graph, GraphBuilder
from ballproof.graph.builder import LARGEST_VALUE
from ballproof.networks.onnx_operators import TRANSLATORS, translated
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Array, Shape, Site, Value
from ballproof.networks.onnx_weights import read_tensor
from ballproof.operations.concat import Concat
from ballproof.operations.linear import Linear
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice

DOMAINS = ("", "ai.onnx")
OPSETS = range(7, 23)
FITS = (IndexError, ValueError, RuntimeError, KeyError, TypeError, ZeroDivisionError, OverflowError, MemoryError)
"""What NumPy and torch raise where arguments do not fit a node."""

TRIED = 0.0, 0.5, 1.0
"""What every input is set to when the graph is tried: a quotient may not be defined at one of them."""


class Reader:
    """Reads one model. name: the file, for messages. folder: where its external data may lie. hidden: what is told besides."""

    def __init__(
        self,
        model: onnx.ModelProto,
        name: str,
        folder: Path | None,
        dtype: torch.dtype,
        join: bool = False,
        hidden: Sequence[str] = (),
    ) -> None:
        self.model, self.name, self.dtype, self.join, self.hidden = model, name, dtype, join, tuple(hidden)
        self.read = partial(read_tensor, file=name, folder=folder)
        versions = [o.version for o in model.opset_import if o.domain in DOMAINS]
        self.opset = max(versions, default=0)
        if self.opset not in OPSETS:
            raise UnsupportedError(f"{name} has opset {versions or 'none'}; supported: {OPSETS[0]} to {OPSETS[-1]}")
        if model.graph.sparse_initializer:
            raise UnsupportedError(f"{name} has sparse weights; supported: dense ones")
        self.constants: dict[str, Array] = {i.name: self.read(i) for i in model.graph.initializer}

    def graph(self) -> Graph:
        """The graph of the model; refuses what has not one varying input and one output, unless they are to be joined."""
        varying = [i for i in self.model.graph.input if i.name not in self.constants]
        outputs = [*(o.name for o in self.model.graph.output), *self.hidden]
        if (len(varying) != 1 or len(outputs) != 1) and not (self.join and varying and outputs):
            names = f"inputs {[i.name for i in varying]} and outputs {outputs}"
            raise UnsupportedError(f"{self.name} has {names}; supported: one of each, or several as one vector by join=True")
        self._enter(varying)
        for index, node in enumerate(self.model.graph.node):
            self._node(node, node.name or f"{node.op_type}_{index}")
        found = [self._example(self._output(name)) for name in outputs]
        return self._tried(self.builder.build(found[0] if len(found) == 1 else self._joined(found)))

    def _enter(self, varying: list[onnx.ValueInfoProto]) -> None:
        """Start the graph. Several inputs are the parts of one vector, in the order of the file."""
        read = [self._input(v) for v in varying]
        self.single = all(single for _, _, single in read)
        sizes = [prod(shape) for shape, _, _ in read]
        self.builder = GraphBuilder(read[0][0] if len(read) == 1 else (sum(sizes),), fold=True)
        self.known, start = {}, 0
        for value, (shape, batched, _), size in zip(varying, read, sizes, strict=True):
            node = self.builder.input
            if len(read) > 1:
                part = self.builder.add(Slice(1, start, start + size), (node,), f"{value.name}.part")
                node = self.builder.add(Reshape(shape), (part,), value.name)
            self.known[value.name] = Value(node, batched)
            start += size

    def _joined(self, nodes: list[str]) -> str:
        flat = [self.builder.add(Reshape((prod(self.builder.shape(n)),)), (n,), f"{n}.flat") for n in nodes]
        return self.builder.add(Concat(1), tuple(flat), "outputs")

    def _output(self, name: str) -> Value:
        if self.join and name in self.constants:
            return self._steady(name)
        if name not in self.known:
            why = "does not depend on the input" if name in self.constants else "is given by no node"
            raise InputError(f"{self.name}: the output `{name}` {why}")
        return self.known[name]

    def _steady(self, name: str) -> Value:
        """A constant as a value of the graph: one number of the input by a weight of zero, and the constant."""
        constant, size = self.constants[name], prod(self.builder.shape(self.builder.input))
        bias = torch.from_numpy(np.asarray(constant)).to(self.dtype)
        if not (np.asarray(bias) == constant).all() or not bias.isfinite().all():
            raise UnsupportedError(f"{self.name}: the output `{name}` holds numbers that {self.dtype} does not have")
        flat = self.builder.add(Reshape((size,)), (self.builder.input,), f"{name}.input")
        first = self.builder.add(Slice(1, 0, 1), (flat,), f"{name}.first")
        given = (torch.zeros(bias.numel(), 1, dtype=self.dtype), f"{name}.weight"), (bias.flatten(), f"{name}.bias")
        line = self.builder.add(Linear(), (first, *(self.builder.constant(*g) for g in given)), f"{name}.steady")
        return Value(self.builder.add(Reshape(tuple(bias.shape)), (line,), f"{name}.told"), batched=False)

    def _example(self, value: Value) -> str:
        """The output of one example; a file with a free batch has it in front."""
        if value.masked is not None:
            raise UnsupportedError(f"{self.name}: some outputs are -infinity; supported: finite ones")
        shape = self.builder.shape(value.node)
        if value.batched or self.single or shape[:1] != (1,):
            return value.node
        return self.builder.add(Reshape(shape[1:]), (value.node,), "output")

    def _tried(self, graph: Graph) -> Graph:
        """The graph, once it has computed one example: torch checks less where only shapes are asked for."""
        try:
            points = [torch.full((1, *graph.input_shape), value, dtype=self.dtype) for value in TRIED]
            finite = any(bool(graph(x).isfinite().all()) for x in points)
        except FITS as error:
            raise InputError(f"{self.name} cannot be computed: {str(error).splitlines()[0]}") from error
        if not finite:
            raise InputError(f"{self.name} gives NaN or infinities for inputs of zeros, halves and ones")
        return graph

    def _input(self, value: onnx.ValueInfoProto) -> tuple[Shape, bool, bool]:
        """The shape of one example, whether the file has a batch axis, and whether it takes one example at a time."""
        tensor = value.type.tensor_type
        dims = [max(0, d.dim_value) for d in tensor.shape.dim]
        if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise UnsupportedError(f"{self.name}: the input `{value.name}` is not of type float or double")
        if tensor.elem_type == TensorProto.DOUBLE and self.dtype != torch.float64:
            raise UnsupportedError(f"{self.name} computes in doubles; read it with dtype=torch.float64")
        if prod(max(1, d) for d in dims) > LARGEST_VALUE:
            raise UnsupportedError(
                f"{self.name}: the input `{value.name}` has shape {dims}; supported: {LARGEST_VALUE} numbers"
            )
        if dims and min(dims) > 0 and (len(dims) == 1 or dims[0] > 1):
            return tuple(dims), False, True
        if len(dims) < 2 or min(dims[1:]) < 1:
            told = "a batch axis that is free or 1, then fixed axes; or fixed axes alone, for one example"
            shown = [d or "?" for d in dims]
            raise UnsupportedError(f"{self.name}: the input `{value.name}` has shape {shown}; supported: {told}")
        return tuple(dims[1:]), True, dims[0] == 1

    def _node(self, node: onnx.NodeProto, label: str) -> None:
        where = f"{self.name}: node `{label}` ({node.op_type})"
        if node.domain not in DOMAINS or node.op_type not in TRANSLATORS:
            told = f"operator {node.domain or 'ai.onnx'}.{node.op_type} (opset {self.opset}) is not modelled"
            hint = "to add one, write a translator in ballproof/networks/onnx_operators/"
            raise UnsupportedError(f"{where}: {told}; supported: {', '.join(sorted(TRANSLATORS))}; {hint}")
        for name in node.input:
            if name and name not in self.known and name not in self.constants:
                raise InputError(f"{where} takes `{name}`, which no earlier node gives: it is missing, or part of a cycle")
        site = Site(node, label, self.opset, self.builder, self.known, self.constants, self.dtype, self.single, self.read)
        try:
            with np.errstate(all="ignore"):
                found = translated(site)
        except UnsupportedError as error:
            told = str(error).removeprefix(f"node `{label}` ({node.op_type} of the file): ")
            raise UnsupportedError(f"{where}: {told}") from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        except FITS as error:
            told = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"{where} does not fit its arguments: {told}") from error
        self._keep(node, where, found if isinstance(found, tuple) else (found,))

    def _keep(self, node: onnx.NodeProto, where: str, found: tuple[Value | Array, ...]) -> None:
        for name, value in zip(node.output, found, strict=False):
            if name in self.known or name in self.constants:
                raise InputError(f"{where} gives `{name}`, which has a value already")
            if name and isinstance(value, Value):
                self.known[name] = value
            elif name:
                self.constants[name] = self._sized(np.asarray(value), where)
        missing = [name for name in node.output[len(found) :] if name in self._used]
        if missing:
            raise UnsupportedError(f"{where}: its output `{missing[0]}` is not modelled; supported: the first alone")

    def _sized(self, value: Array, where: str) -> Array:
        if value.size > MOST_NUMBERS:
            raise UnsupportedError(f"{where} gives a constant of shape {value.shape}; supported: {MOST_NUMBERS} numbers")
        return value

    @cached_property
    def _used(self) -> set[str]:
        return {i for n in self.model.graph.node for i in n.input} | {o.name for o in self.model.graph.output}
