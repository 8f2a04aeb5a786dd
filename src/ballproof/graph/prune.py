"""`without_units`: a dense network without the units that are always zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Nonlinear, Role
from ballproof.operations.linear import Linear
from ballproof.values import Interval


def without_units(graph: Graph, zero: Mapping[str, Tensor]) -> tuple[Graph, dict[str, Tensor]]:
    """The same function wherever the units `zero` are zero, without them; and the places that stay, of each node that shrank.

    zero: by name of a node, `(size,) bool`. Only units between two `Linear` nodes go, and at least one of each node stays.
    Parameters of the layers concerned are no longer live.
    """
    with torch.no_grad():
        return _Pruning(graph, zero).run()


def without_zeros(graph: Graph, intervals: Mapping[str, Interval]) -> tuple[Graph, dict[str, Interval]]:
    """The network and its intervals without the units that are zero all over the region."""
    bends = [n.name for n in graph.varying if isinstance(n.operation, Nonlinear) and n.name in intervals]
    zero = {n: ((intervals[n].lower == 0) & (intervals[n].upper == 0)).all(0).flatten() for n in bends}
    small, kept = without_units(graph, zero)
    return small, {
        n: i if (k := kept.get(n)) is None else Interval(i.lower[:, k], i.upper[:, k])
        for n, i in intervals.items()
        if n in small.node
    }


@dataclass
class _Pruning:
    graph: Graph
    zero: Mapping[str, Tensor]
    kept: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> tuple[Graph, dict[str, Tensor]]:
        graph, self.constants = self.graph, self.graph.constants()
        self.users: dict[str, list[Node]] = {}
        for n in graph.varying:
            for i in n.inputs:
                self.users.setdefault(i, []).append(n)
        for name, zero in self.zero.items():
            if bool(zero.any()) and self._removable(name):
                places = (~zero).nonzero().flatten()
                places = places if len(places) else places.new_zeros(1)
                self.kept[name] = self.kept[graph.node[name].inputs[0]] = places
        nodes: list[Node] = []
        values = dict(graph.values)
        for n in graph.nodes:
            if isinstance(n.operation, Linear) and (n.name in self.kept or n.inputs[0] in self.kept):
                parts = self._cut(n)
                names = [f"{n.name}.kept{i}" for i in range(len(parts))]
                nodes += [Node(name, None, (), tuple(p.shape), Role.CONSTANT) for name, p in zip(names, parts, strict=True)]
                values.update(zip(names, parts, strict=True))
                nodes.append(replace(n, inputs=(n.inputs[0], *names), shape=(len(parts[0]),)))
            else:
                nodes.append(replace(n, shape=(len(self.kept[n.name]),)) if n.name in self.kept else n)
        return Graph(tuple(nodes), graph.input, graph.output, values).until(graph.output), self.kept

    def _removable(self, name: str) -> bool:
        """Whether the node stands alone between `Linear` nodes."""
        node, ahead = self.graph.node[name], self.graph.node[self.graph.node[name].inputs[0]]
        behind = self.users.get(name, [])
        return (
            self.graph.output not in {name, ahead.name}
            and len(node.inputs) == 1
            and len(node.shape) == 1
            and self._dense(ahead)
            and len(self.users[ahead.name]) == 1
            and all(self._dense(n) and n.inputs[0] == name for n in behind)
        )

    def _dense(self, node: Node) -> bool:
        """Whether it is a matrix applied to one vector."""
        return isinstance(node.operation, Linear) and node.varies and len(node.shape) == 1

    def _cut(self, node: Node) -> list[Tensor]:
        """Weight and bias of the units that stay, on the inputs that stay."""
        weight, *bias = (self.constants[i] for i in node.inputs[1:])
        if node.inputs[0] in self.kept:
            weight = weight[:, self.kept[node.inputs[0]]]
        if node.name in self.kept:
            weight, bias = weight[self.kept[node.name]], [b[self.kept[node.name]] for b in bias]
        return [weight.contiguous(), *bias]
