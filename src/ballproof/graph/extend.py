"""`with_inputs`: the network whose output also tells its input, for properties that weigh both."""

from __future__ import annotations

import torch

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.concat import Concat
from ballproof.operations.reshape import Reshape


def with_inputs(graph: Graph) -> Graph:
    """The outputs, flattened, and behind them the inputs, flattened: `(outputs + inputs,)`."""
    nodes, parts = list(graph.nodes), []
    for name in (graph.output, graph.input):
        shape = (int(torch.Size(graph.node[name].shape).numel()),)
        role = Role.AFFINE if name == graph.input else graph.node[name].role
        flat = f"{name}.told"
        nodes.append(Node(flat, Reshape(shape), (name,), shape, Role.AFFINE if role is Role.INPUT else role))
        parts.append((flat, shape[0]))
    joined = Node(
        f"{graph.output}.with_inputs", Concat(1), tuple(n for n, _ in parts), (sum(s for _, s in parts),), Role.AFFINE
    )
    return Graph((*nodes, joined), graph.input, joined.name, dict(graph.values))
