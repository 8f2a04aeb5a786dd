"""`GraphBuilder`: what a reader of networks writes to. Shapes, roles and refusals are settled here, node by node."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Operation, Role
from ballproof.operations.base import Shape

LARGEST_VALUE = 2**25
"""Numbers of one example at a node: ten times what the widest networks of the field have."""

PROBE = 3
"""The batch size of the shape probe: a size that no layer has by accident would be better, but any size > 1 serves."""


class GraphBuilder:
    """Collects nodes; `build` gives the frozen graph. Every node is named once; clashes get a number.

    fold: compute constant nodes at once (for files, whose constants never change); otherwise they stay live.
    """

    def __init__(self, input_shape: Shape, name: str = "input", fold: bool = False) -> None:
        self.input = name
        self.fold = fold
        self.nodes: dict[str, Node] = {name: Node(name, None, (), tuple(input_shape), Role.INPUT)}
        self.values: dict[str, Tensor] = {}
        self._by_identity: dict[int, str] = {}

    def constant(self, value: Tensor, name: str) -> str:
        """A given constant, live if it is a parameter; the same tensor object gives the same node."""
        if id(value) in self._by_identity:
            return self._by_identity[id(value)]
        name = self._free(name)
        self.nodes[name] = Node(name, None, (), tuple(value.shape), Role.CONSTANT)
        self.values[name] = value
        self._by_identity[id(value)] = name
        return name

    def add(self, operation: Operation, inputs: tuple[str, ...], name: str, source: str = "") -> str:
        """A computed node. Raises `UnsupportedError` naming node, operation and source line if it is not modelled."""
        arguments = [self.nodes[i] for i in inputs]
        try:
            role = operation.role(tuple(a.varies for a in arguments))
            shape = self._shape(operation, arguments, role)
        except UnsupportedError as error:
            raise UnsupportedError(f"node `{name}`{_at(source)}: {error}") from error
        if prod(shape) > LARGEST_VALUE and role is not Role.CONSTANT:
            raise UnsupportedError(f"node `{name}`{_at(source)}: a value of shape {shape}; supported: {LARGEST_VALUE} numbers")
        if self.fold and role is Role.CONSTANT:
            return self.constant(operation.forward(*(self.values[i] for i in inputs)), name)
        name = self._free(name)
        self.nodes[name] = Node(name, operation, inputs, shape, role, source)
        return name

    def shape(self, name: str) -> Shape:
        return self.nodes[name].shape

    def build(self, output: str) -> Graph:
        """The graph with this output, without the nodes that it does not need."""
        return Graph(tuple(self.nodes.values()), self.input, output, dict(self.values)).until(output)

    def _shape(self, operation: Operation, arguments: list[Node], role: Role) -> Shape:
        probes = self._real_probes(arguments) if self.fold else self._meta_probes(arguments)
        with torch.no_grad():
            shape = tuple(operation.forward(*probes).shape)
        if role is Role.CONSTANT:
            return shape
        if not shape or shape[0] != PROBE:
            raise UnsupportedError(f"{operation} mixes the batch axis: shapes {[tuple(p.shape) for p in probes]} -> {shape}")
        return shape[1:]

    def _real_probes(self, arguments: list[Node]) -> list[Tensor]:
        """Zeros and the constants themselves: torch's shape-only tensors cost a second of imports when first used."""
        floats = [self.values[a.name].dtype for a in arguments if not a.varies and self.values[a.name].is_floating_point()]
        dtype = floats[0] if floats else torch.float32
        return [torch.zeros((PROBE, *a.shape), dtype=dtype) if a.varies else self.values[a.name] for a in arguments]

    def _meta_probes(self, arguments: list[Node]) -> list[Tensor]:
        """Tensors of shapes alone, as live constants have no value yet."""
        probes = [torch.empty((PROBE, *a.shape) if a.varies else a.shape, device="meta") for a in arguments]
        for probe, argument in zip(probes, arguments, strict=True):
            if argument.name in self.values and not self.values[argument.name].is_floating_point():
                probe.data = probe.to(self.values[argument.name].dtype)
        return probes

    def _free(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self.nodes:
            number += 1
            candidate = f"{name}_{number}"
        return candidate


def _at(source: str) -> str:
    return f" ({source})" if source else ""
