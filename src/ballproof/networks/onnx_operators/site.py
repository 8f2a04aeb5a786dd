"""`Site`: what a translator sees of one node of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper

from ballproof.errors import UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.operations import Operation

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Site:
    """One node with its attributes and arguments. An argument varies (a graph node's name) or is a NumPy array."""

    node: onnx.NodeProto
    label: str
    opset: int
    builder: GraphBuilder
    known: Mapping[str, str]
    constants: Mapping[str, Array]
    dtype: torch.dtype

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; bytes come as text."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def only(self, *names: str) -> None:
        """Refuse attributes that the translator does not model."""
        for attribute in self.node.attribute:
            if attribute.name not in names:
                raise UnsupportedError(f"attribute `{attribute.name}` is not modelled; supported: {', '.join(names)}")

    def given(self, i: int) -> bool:
        """Whether argument i is there."""
        return i < len(self.node.input) and self.node.input[i] != ""

    def varies(self, i: int) -> bool:
        return self.given(i) and self.node.input[i] in self.known

    def name(self, i: int) -> str:
        """The graph node of argument i, constant or not."""
        given = self.node.input[i]
        return self.known[given] if given in self.known else self.tensor(self.constants[given], given)

    def array(self, i: int, what: str) -> Array:
        """The constant of argument i; refused where it varies."""
        if self.varies(i):
            raise UnsupportedError(f"{what} that depends on the input; supported: a constant one")
        return self.constants[self.node.input[i]]

    def integers(self, i: int, what: str) -> list[int]:
        return [int(v) for v in self.array(i, what).reshape(-1)]

    def shape(self, i: int) -> tuple[int, ...]:
        """The shape of one example of a varying argument, or the whole shape of a constant."""
        given = self.node.input[i]
        return self.builder.shape(self.known[given]) if given in self.known else tuple(self.constants[given].shape)

    def rank(self, i: int) -> int:
        """The number of axes, the batch included where the argument varies."""
        return len(self.shape(i)) + int(self.varies(i))

    def axis(self, axis: int, i: int = 0) -> int:
        """An axis counted from the front; the batch axis is refused for a varying argument."""
        found = axis + self.rank(i) if axis < 0 else axis
        if self.varies(i) and found == 0:
            raise UnsupportedError("the batch axis is not touched; supported: any other axis")
        return found

    def tensor(self, array: Array, name: str) -> str:
        """A constant as a graph node; floats in the graph's type."""
        tensor = torch.from_numpy(np.array(array))
        return self.builder.constant(tensor.to(self.dtype) if tensor.is_floating_point() else tensor, name)

    def add(self, operation: Operation, *inputs: str, part: str = "") -> str:
        """A new graph node named after this one."""
        label = f"{self.label}.{part}" if part else self.label
        return self.builder.add(operation, inputs, label, f"{self.node.op_type} of the file")
