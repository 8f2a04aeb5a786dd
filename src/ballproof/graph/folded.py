"""`without_norms`: batch normalisations taken into the layer before them, so that a bound pays nothing for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.convolution import Convolution
from ballproof.operations.linear import Linear


def without_norms(graph: Graph) -> Graph:
    """The same function, equal up to rounding; gradients reach the parameters of both layers and the statistics.

    A normalisation stays where what it normalises is used by others too, or is neither a convolution nor a matrix product.
    The name of a layer that takes one in vanishes; that of the normalisation stays, for its value.
    """
    constants = graph.constants()
    users = Counter(i for n in graph.varying for i in n.inputs)
    nodes: list[Node] = []
    values = dict(graph.values)
    for node in graph.nodes:
        layer = graph.node[node.inputs[0]] if isinstance(node.operation, BatchNorm) else None
        if layer is None or not _takes(layer) or users[layer.name] > 1 or layer.name == graph.output:
            nodes.append(node)
            continue
        weight, bias = _folded(node, layer, constants)
        names = f"{node.name}.folded_weight", f"{node.name}.folded_bias"
        for name, value in zip(names, (weight, bias), strict=True):
            nodes.append(Node(name, None, (), tuple(value.shape), Role.CONSTANT))
            values[name] = value
        nodes.append(replace(node, operation=layer.operation, inputs=(layer.inputs[0], *names)))
    return Graph(tuple(nodes), graph.input, graph.output, values).until(graph.output)


def _takes(layer: Node) -> bool:
    return isinstance(layer.operation, Convolution) or (isinstance(layer.operation, Linear) and len(layer.shape) == 1)


def _folded(node: Node, layer: Node, constants: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer with its normalisation."""
    operation = node.operation
    assert isinstance(operation, BatchNorm)
    gain, shift, mean, variance = (constants[i] for i in node.inputs[1:])
    weight, *bias = (constants[i] for i in layer.inputs[1:])
    scale = operation.scale(gain, variance)
    return weight * scale.reshape(-1, *(1 for _ in weight.shape[1:])), shift + ((bias[0] if bias else 0.0) - mean) * scale
