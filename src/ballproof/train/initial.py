"""Weights to begin with."""

from __future__ import annotations

import math

import torch
from torch import nn

from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.operations.arithmetic import Add
from ballproof.operations.batch_norm import BatchNorm
from ballproof.operations.convolution import Convolution
from ballproof.operations.linear import Linear
from ballproof.operations.reshape import Reshape
from ballproof.operations.scalar import Scalar


@torch.no_grad()
def for_intervals(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Draw the weights of all layers but the last so that interval bounds neither grow nor shrink from layer to layer.

    Normal with standard deviation `sqrt(2 pi) / fan_in`: the mean half-width behind a layer and a rectifier is then
    that before it; half of that for a layer behind the sum of two branches, which doubles the width. Biases are left as they
    are. shape: of one input. Source: Shi et al. 2021.
    """
    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    for layer in layers[:-1]:
        fan_in = layer.weight[0].numel()
        layer.weight.normal_(0.0, math.sqrt(2 * math.pi) / fan_in)
    graph = as_graph(module, next(module.parameters()).new_zeros(1, *shape))
    for node in graph.varying:
        if isinstance(node.operation, (Linear, Convolution)) and _behind_a_sum(graph, node.inputs[0]):
            graph.values[node.inputs[1]].mul_(0.5)


def _behind_a_sum(graph: Graph, name: str) -> bool:
    """Whether a value is the sum of two branches, but for what keeps the width."""
    while True:
        node = graph.node[name]
        varying = [i for i in node.inputs if graph.node[i].varies]
        if isinstance(node.operation, Add):
            return len(varying) == 2
        if not isinstance(node.operation, (Scalar, Reshape, BatchNorm)) or len(varying) != 1:
            return False
        name = varying[0]
