"""`behind`: the rest of a network from one of its nodes on."""

from __future__ import annotations

from dataclasses import replace

from ballproof.errors import UnsupportedError
from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Role


def behind(graph: Graph, name: str) -> Graph:
    """The network as a function of the node `name`, `(batch, *node) -> (batch, *output)`; parameters stay live.

    Every path from the input to the output must lead through the node; else `UnsupportedError`.
    """
    if name == graph.input:
        return graph
    place = Node(name, None, (), graph.node[name].shape, Role.INPUT)
    before = {n.name for n in graph.until(name).nodes if n.varies}
    needed, stack = set(), [graph.output]
    while stack:
        current = stack.pop()
        if current in needed or current == name:
            continue
        needed.add(current)
        if current in before:
            raise UnsupportedError(f"`{name}` does not cut the network in two: `{current}` is used behind it as well")
        stack.extend(graph.node[current].inputs)
    nodes = tuple(n for n in graph.nodes if n.name in needed)
    values = {k: v for k, v in graph.values.items() if k in needed}
    return replace(graph, nodes=(place, *nodes), input=name, values=values)
