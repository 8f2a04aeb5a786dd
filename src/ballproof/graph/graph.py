"""`Graph`: the frozen network that every walker walks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.base import Shape


@dataclass(frozen=True, eq=False)
class Graph:
    """A network from one input to one output, as nodes in an order in which every argument comes first.

    `values` holds the tensors of the given constants; those that are a module's parameters are the module's own objects,
    so gradients reach the module. Calling the graph gives the network's output, `(batch, *output)`.
    """

    nodes: tuple[Node, ...]
    input: str
    output: str
    values: Mapping[str, Tensor] = field(repr=False)

    @cached_property
    def node(self) -> dict[str, Node]:
        """The nodes by name."""
        return {n.name: n for n in self.nodes}

    @cached_property
    def varying(self) -> tuple[Node, ...]:
        """The computed nodes that depend on the input, in order."""
        return tuple(n for n in self.nodes if n.varies and n.operation is not None)

    @cached_property
    def widest(self) -> int:
        """The most numbers that one example has at a node."""
        return max(prod(n.shape) for n in self.nodes if n.varies)

    @property
    def input_shape(self) -> Shape:
        return self.node[self.input].shape

    @property
    def output_shape(self) -> Shape:
        return self.node[self.output].shape

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the constants; torch's default where there is none."""
        return torch.get_default_dtype() if self.weighed is None else self.weighed.dtype

    @cached_property
    def weighed(self) -> Tensor | None:
        """The first constant of a floating type, whose type and device are the network's; None where there is none."""
        return next((v for v in self.values.values() if v.is_floating_point()), None)

    def constants(self) -> dict[str, Tensor]:
        """The value of every constant node, given or computed; gradients flow to the parameters."""
        known = dict(self.values)
        for node in self.nodes:
            if node.role is Role.CONSTANT and node.operation is not None:
                known[node.name] = node.operation.forward(*(known[i] for i in node.inputs))
        return known

    def arguments(self, node: Node, constants: Mapping[str, Tensor]) -> tuple[Tensor | None, ...]:
        """The constant arguments of a node, None where an argument varies."""
        return tuple(None if self.node[i].varies else constants[i] for i in node.inputs)

    def shapes(self, node: Node) -> tuple[Shape, ...]:
        """The shape of each argument of a node, as in `Node.shape`."""
        return tuple(self.node[i].shape for i in node.inputs)

    def activations(self, x: Tensor) -> dict[str, Tensor]:
        """The value of every node on the inputs `x (batch, *input)`."""
        if tuple(x.shape[1:]) != self.input_shape:
            raise InputError(f"`x` has shape {tuple(x.shape)}, the network takes (batch, {_list(self.input_shape)})")
        known = {**self.constants(), self.input: x}
        for node in self.varying:
            assert node.operation is not None
            known[node.name] = node.operation.forward(*(known[i] for i in node.inputs))
        return known

    def __call__(self, x: Tensor) -> Tensor:
        return self.activations(x)[self.output]

    def until(self, name: str) -> Graph:
        """The same network with the node `name` as its output, and only the nodes that it needs."""
        if name not in self.node:
            raise InputError(f"no node `{name}`; the nodes are: {', '.join(n.name for n in self.varying)}")
        needed = set(self._upstream(name)) | {self.input}
        nodes = tuple(n for n in self.nodes if n.name in needed)
        return replace(self, nodes=nodes, output=name, values=self._some(needed))

    def _some(self, needed: set[str]) -> Mapping[str, Tensor]:
        return {k: v for k, v in self.values.items() if k in needed}

    def _upstream(self, name: str) -> Iterator[str]:
        seen, stack = set(), [name]
        while stack:
            current = stack.pop()
            if current not in seen:
                seen.add(current)
                yield current
                stack.extend(self.node[current].inputs)

    def with_values(self, values: Mapping[str, Tensor]) -> Graph:
        """The same network with some given constants replaced."""
        return replace(self, values={**self.values, **values})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graph:
        """The same network on another device or in another floating type; gradients still reach the parameters."""
        moved = {k: v.to(device=device, dtype=dtype if v.is_floating_point() else None) for k, v in self.values.items()}
        return replace(self, values=moved)


def _list(shape: Shape) -> str:
    return ", ".join(map(str, shape))
