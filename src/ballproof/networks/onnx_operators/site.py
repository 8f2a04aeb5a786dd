"""`Site`: what a translator sees of one node of a file, and `Value`: what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.operations import Operation
from ballproof.operations.reshape import Reshape

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A graph node, and how the file sees it: with the batch as its first axis, or as one example without that axis.

    masked: the places, of the node's shape per example, that are -infinity in the file whatever the node says; or None.
    """

    node: str
    batched: bool = True
    masked: Array | None = field(default=None, compare=False)


class BatchAxisError(UnsupportedError):
    """The batch axis itself is worked on: possible only where the file holds one example at a time."""


@dataclass(frozen=True)
class Site:
    """One node with its attributes and arguments. An argument varies (a `Value`) or is a NumPy array.

    Shapes, ranks and axes are those of the file for a batch of one; `axis` and `example` lead to those of the graph.
    single: the file says that its batch is one example, so values may go without a batch axis.
    read: gives the array of a tensor that stands in an attribute.
    """

    node: onnx.NodeProto
    label: str
    opset: int
    builder: GraphBuilder
    known: Mapping[str, Value]
    constants: Mapping[str, Array]
    dtype: torch.dtype
    single: bool
    read: Callable[[onnx.TensorProto], Array]

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; bytes come as text."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        """An attribute that is 0 or 1."""
        value = self.attribute(name, int(default))
        if value not in (0, 1):
            raise InputError(f"{name} is {value}, expected 0 or 1")
        return bool(value)

    def given(self, i: int) -> bool:
        """Whether argument i is there."""
        return i < len(self.node.input) and self.node.input[i] != ""

    def varies(self, i: int) -> bool:
        return self.given(i) and self.node.input[i] in self.known

    @property
    def varying(self) -> tuple[int, ...]:
        """The places of the arguments that vary."""
        return tuple(i for i in range(len(self.node.input)) if self.varies(i))

    @property
    def batched(self) -> bool:
        """Whether the arguments that vary have the batch axis; where only some have it, the others are no match."""
        found = {self.known[self.node.input[i]].batched for i in self.varying}
        if len(found) > 1:
            raise BatchAxisError("only some of its arguments have a batch axis; supported: all or none")
        return found == {True}

    def value(self, i: int) -> Value:
        return self.known[self.node.input[i]]

    def name(self, i: int) -> str:
        """The graph node of argument i, constant or not."""
        given = self.node.input[i]
        return self.known[given].node if given in self.known else self.tensor(self.constants[given], given)

    def array(self, i: int, what: str) -> Array:
        """The constant of argument i; refused where it varies."""
        if self.varies(i):
            raise UnsupportedError(f"{what} that depends on the input; supported: a constant one")
        if not self.given(i):
            raise InputError(f"{what} is missing")
        return self.constants[self.node.input[i]]

    def integers(self, i: int, what: str) -> list[int]:
        array = self.array(i, what)
        if not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"{what} of type {array.dtype}, expected whole numbers")
        return [int(v) for v in array.reshape(-1)]

    def number(self, i: int, what: str) -> float:
        array = self.array(i, what)
        if array.size != 1:
            raise InputError(f"{what} of shape {array.shape}, expected one number")
        return float(array.reshape(()))

    def example(self, i: int) -> Shape:
        """The shape of one example of a varying argument, as in the graph."""
        return self.builder.shape(self.value(i).node)

    def shape(self, i: int) -> Shape:
        """The shape of argument i in the file, the batch counted as 1."""
        if not self.varies(i):
            return tuple(self.constants[self.node.input[i]].shape)
        return (1, *self.example(i)) if self.value(i).batched else self.example(i)

    def rank(self, i: int) -> int:
        return len(self.shape(i))

    def place(self, axis: int, i: int = 0) -> int:
        """An axis of argument i, counted from the front of the file's shape."""
        rank = self.rank(i)
        if not -rank <= axis < rank:
            raise InputError(f"axis {axis} of a value of shape {self.shape(i)}")
        return axis % rank

    def axis(self, axis: int, i: int = 0) -> int:
        """An axis of the varying argument i, counted as in the graph, where the batch is axis 0."""
        place = self.place(axis, i)
        if self.value(i).batched and place == 0:
            raise BatchAxisError("it works on the batch axis; supported: any other axis")
        return place if self.value(i).batched else place + 1

    def tensor(self, array: Array, name: str) -> str:
        """A constant as a graph node; floats in the graph's type, which must hold them exactly, and finite."""
        if not np.issubdtype(array.dtype, np.floating):
            return self.builder.constant(torch.from_numpy(np.array(array)), name)
        if not np.isfinite(array).all():
            raise InputError(f"the constant `{name}` holds NaN or infinities")
        tensor = torch.from_numpy(np.array(array))
        converted = tensor.to(self.dtype)
        if not torch.equal(converted.to(tensor.dtype), tensor):
            raise UnsupportedError(f"`{name}` holds doubles that {self.dtype} rounds; read the file with dtype=torch.float64")
        return self.builder.constant(converted, name)

    def add(self, operation: Operation, *inputs: str, part: str = "") -> str:
        """A new graph node named after this one."""
        label = f"{self.label}.{part}" if part else self.label
        return self.builder.add(operation, inputs, label, f"{self.node.op_type} of the file")

    def made(self, operation: Operation, *inputs: str) -> Value:
        """The result of this node, with a batch axis where its arguments have one."""
        return Value(self.add(operation, *inputs), self.batched)

    def reshaped(self, shape: Shape, node: str | None = None) -> Value:
        """Argument 0 (or `node`, a step of the way with as many numbers) in another shape of the file.

        A first axis of 1 is the batch. Without it the value is one example; refused where the file has a free batch.
        """
        if node is None and prod(shape) != prod(self.shape(0)):
            raise InputError(f"a value of shape {self.shape(0)} has no shape {shape}")
        batched = shape[:1] == (1,) and (self.batched or len(shape) > 1)
        if self.batched and not batched and not self.single:
            raise BatchAxisError(f"the shape {shape} has no batch in front; supported: 1, 0 or -1 in front")
        own, node = (self.example(0), self.name(0)) if node is None else (self.builder.shape(node), node)
        wanted = shape[1:] if batched else shape
        return Value(node if wanted == own else self.add(Reshape(wanted), node), batched)

    def opened(self) -> Site:
        """The same node with the batch axis of its arguments taken as an ordinary axis of size 1."""
        known = dict(self.known)
        for name in {self.node.input[i] for i in self.varying}:
            node, masked = known[name].node, known[name].masked
            if known[name].batched:
                opened = self.add(Reshape((1, *self.builder.shape(node))), node, part="open")
                known[name] = Value(opened, batched=False, masked=None if masked is None else masked[None])
        return replace(self, known=known)

    def layered(self) -> Site:
        """The same node with a batch axis in front of argument 0, as a layer needs it."""
        if not self.varies(0):
            raise UnsupportedError("a constant in place of the input; supported: constant weights only")
        if self.value(0).batched:
            return self
        shape = self.shape(0)
        if len(shape) < 2 or shape[0] != 1:
            raise UnsupportedError(f"an input of shape {shape} for a layer; supported: a batch axis of 1 in front")
        node = self.add(Reshape(shape[1:]), self.name(0), part="batch")
        return replace(self, known={**self.known, self.node.input[0]: Value(node)})
