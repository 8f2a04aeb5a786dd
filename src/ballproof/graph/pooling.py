"""`without_pooling`: maxima over windows as rectifiers, which a search can split."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Operation, Role
from ballproof.operations.arithmetic import Add, Subtract
from ballproof.operations.gather import Gather
from ballproof.operations.max_pool import MaxPool, window_index
from ballproof.operations.relu import Relu
from ballproof.operations.reshape import Reshape


def without_pooling(graph: Graph) -> Graph:
    """The same function, every maximum of two as `max(a, b) = a + relu(b - a)`; the graph itself where nothing is pooled.

    All other nodes keep their names, and so do the maxima.
    """
    if not any(isinstance(n.operation, MaxPool) and n.varies for n in graph.nodes):
        return graph
    return _Unpooling(graph).run()


@dataclass
class _Unpooling:
    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> Graph:
        self.values = dict(self.graph.values)
        for n in self.graph.nodes:
            if n.varies and isinstance(n.operation, MaxPool):
                self._tree(n, n.operation)
            else:
                self.nodes.append(n)
        return Graph(tuple(self.nodes), self.graph.input, self.graph.output, self.values)

    def _tree(self, node: Node, pool: MaxPool) -> None:
        """The elements of all windows side by side, then the larger ones of pairs until one is left."""
        shape = self.graph.node[node.inputs[0]].shape
        size, count = int(torch.Size(shape).numel()), int(torch.Size(node.shape).numel())
        index = window_index(pool, shape)[0].reshape(count, -1)
        flat = self._add(f"{node.name}.flat", Reshape((size,)), (node.inputs[0],), size, Role.AFFINE)
        parts = [self._taken(node, flat, k, place) for k, place in enumerate(index.T)]
        number = 0
        while len(parts) > 1:
            pairs = list(zip(parts[::2], parts[1::2], strict=False))
            parts = [
                *(self._larger(f"{node.name}.{number + i}", a, b, count) for i, (a, b) in enumerate(pairs)),
                *parts[2 * len(pairs) :],
            ]
            number += len(pairs)
        self.nodes.append(Node(node.name, Reshape(node.shape), (parts[0],), node.shape, Role.AFFINE, node.source))

    def _taken(self, node: Node, flat: str, number: int, place: Tensor) -> str:
        """One element of every window."""
        name = f"{node.name}.element{number}"
        self.values[f"{name}.place"] = place.contiguous()
        self.nodes.append(Node(f"{name}.place", None, (), tuple(place.shape), Role.CONSTANT))
        return self._add(name, Gather(1), (flat, f"{name}.place"), len(place), Role.AFFINE)

    def _larger(self, name: str, a: str, b: str, count: int) -> str:
        over = self._add(f"{name}.over", Subtract(), (b, a), count, Role.AFFINE)
        rest = self._add(f"{name}.rest", Relu(), (over,), count, Role.NONLINEAR)
        return self._add(f"{name}.larger", Add(), (a, rest), count, Role.AFFINE)

    def _add(self, name: str, operation: Operation, inputs: tuple[str, ...], count: int, role: Role) -> str:
        self.nodes.append(Node(name, operation, inputs, (count,), role))
        return name
