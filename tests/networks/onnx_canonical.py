"""`canonical`: a graph as a tuple that is equal for equal networks, whichever reader wrote it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from ballproof.graph import Graph, Node
from ballproof.operations.arithmetic import Add
from ballproof.operations.linear import Linear

UNUSED_SETTINGS = {"momentum"}
"""How a training step moves the running statistics: no part of the function, and no part of an ONNX file in inference."""


def canonical(graph: Graph) -> tuple[Any, ...]:
    """The varying nodes in order: operation, settings (floats as float32, as files keep them), arguments.

    An argument is the place of a node, or a constant's shape and exact values. Names do not count. A product followed by
    the addition of a bias is a product with that bias; a reshape to the shape that is there already is nothing.
    """
    constants = graph.constants()
    place = {graph.input: 0}
    found: list[Any] = []
    for node in graph.varying:
        if type(node.operation).__name__ == "Reshape" and graph.node[node.inputs[0]].shape == node.shape:
            place[node.name] = place[node.inputs[0]]
            continue
        inputs = [place.get(i) if i in place else _value(constants[i]) for i in node.inputs]
        bias = _bias_of_product(graph, node)
        if bias is not None and found and place[node.inputs[0]] == len(found):
            operation, settings, arguments = found.pop()
            found.append((operation, settings, (*arguments, _value(constants[bias].reshape(-1)))))
        else:
            found.append((type(node.operation).__name__, _settings(node), tuple(inputs)))
        place[node.name] = len(found)
    return (graph.input_shape, place[graph.output], *found)


def _bias_of_product(graph: Graph, node: Node) -> str | None:
    """The constant that this node adds to each output of a product without bias, if it does that."""
    if node.operation != Add() or not graph.node[node.inputs[0]].varies:
        return None
    product, bias = (graph.node[i] for i in node.inputs)
    fits = product.operation == Linear() and len(product.inputs) == 2 and torch.Size(bias.shape).numel() == product.shape[-1]
    return bias.name if fits and not bias.varies and bias.shape[-1:] == product.shape[-1:] else None


def _settings(node: Node) -> tuple[Any, ...]:
    operation = node.operation
    assert operation is not None
    named = [(f.name, getattr(operation, f.name)) for f in fields(operation) if f.name not in UNUSED_SETTINGS]  # type: ignore[arg-type]
    return tuple((name, float(np.float32(v)) if isinstance(v, float) else v) for name, v in named)


def _value(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (tuple(tensor.shape), tuple(tensor.detach().reshape(-1).tolist()))
