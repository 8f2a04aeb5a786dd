"""Networks that tell more than their output, for properties that weigh more: their input, products, networks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.product import Product
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice


def with_inputs(graph: Graph) -> Graph:
    """The outputs, flattened, and behind them the inputs, flattened: `(outputs + inputs,)`."""
    flat = [_flat(graph.node[name], f"{name}.told") for name in (graph.output, graph.input)]
    joined = _joined(flat, f"{graph.output}.with_inputs")
    return Graph((*graph.nodes, *flat, joined), graph.input, joined.name, dict(graph.values))


def with_products(graph: Graph, factors: Sequence[Sequence[int]]) -> Graph:
    """The outputs of a network whose output is `(outputs,)`, and behind them products of them.

    factors: the outputs that each product multiplies, two or more; products of fewer come first.
    """
    told, nodes, values = graph.node[graph.output], list(graph.nodes), dict(graph.values)
    parts = [told]
    for count, own in groupby(factors, len):
        indices, last = torch.tensor(list(own)).T, told
        shape = (indices.shape[1],)
        for k, index in enumerate(indices):
            name = f"{told.name}.{{}}{k}_of_{count}".format
            places = Node(name("places"), None, (), shape, Role.CONSTANT)
            factor = Node(name("factor"), Gather(1), (told.name, places.name), shape, Role.AFFINE)
            values[places.name] = index
            nodes += [places, factor]
            if k:
                nodes.append(Node(name("product"), Product(), (last.name, factor.name), shape, Role.NONLINEAR))
            last = nodes[-1]
        parts.append(last)
    joined = _joined(parts, f"{told.name}.with_products")
    return Graph((*nodes, joined), graph.input, joined.name, values)


def side_by_side(graphs: Sequence[Graph]) -> Graph:
    """The outputs of all, flattened, on the inputs of all, flattened, one behind the other; no value is shared."""
    sizes = [_size(g.node[g.input]) for g in graphs]
    whole = Node("inputs", None, (), (sum(sizes),), Role.INPUT)
    nodes, outputs = [whole], list[Node]()
    values: dict[str, Tensor] = {}
    for number, (graph, size) in enumerate(zip(graphs, sizes, strict=True)):
        name, start = f"{number}/{{}}".format, sum(sizes[:number])
        part = Node(name("part"), Slice(1, start, start + size), (whole.name,), (size,), Role.AFFINE)
        own = Node(name(graph.input), Reshape(graph.input_shape), (part.name,), graph.input_shape, Role.AFFINE)
        nodes += [part, own]
        others = [n for n in graph.nodes if n.name != graph.input]
        nodes += [replace(n, name=name(n.name), inputs=tuple(map(name, n.inputs))) for n in others]
        output = graph.node[graph.output]
        outputs.append(_flat(replace(output, name=name(output.name)), name("told.output")))
        values |= {name(k): v for k, v in graph.values.items()}
    joined = _joined(outputs, "outputs")
    return Graph((*nodes, *outputs, joined), whole.name, joined.name, values)


def _flat(node: Node, name: str) -> Node:
    shape = (_size(node),)
    return Node(name, Reshape(shape), (node.name,), shape, Role.AFFINE)


def _joined(parts: Sequence[Node], name: str) -> Node:
    return Node(name, Concat(1), tuple(n.name for n in parts), (sum(n.shape[0] for n in parts),), Role.AFFINE)


def _size(node: Node) -> int:
    return int(torch.Size(node.shape).numel())
