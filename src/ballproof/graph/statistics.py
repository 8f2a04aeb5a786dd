"""Batch normalisation while training: the clean batch's statistics in place of the running ones, as in torch."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from ballproof.errors import InputError, UnsupportedError
from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.batch_norm import BatchNorm

MEAN, VARIANCE = 3, 4
"""The places of the statistics among the inputs of a BatchNorm node."""

_OWNERS = WeakIdKeyDictionary()
"""From a running mean to its module, held weakly: the training flag, the momentum and the counter are the module's."""


@dataclass(frozen=True)
class Statistics:
    """Of one batch at one normalisation, for each channel: mean, biased variance, and how many values they are of."""

    mean: Tensor
    variance: Tensor
    count: int


def own_statistics(running_mean: Tensor, module: nn.Module) -> None:
    """Note which module a running mean belongs to; neither is kept alive."""
    _OWNERS[running_mean] = weakref.ref(module)


def batch_statistics(graph: Graph, x: Tensor) -> dict[str, Statistics]:
    """The statistics of the batch `x (batch, *input)` at each batch normalisation, by node name, with gradients.

    Each is taken behind normalisations that use the batch's statistics themselves, as in a training forward pass. A
    layer that its owner has set to evaluation keeps its running statistics and is left out. Raises `InputError` for
    fewer than two values a channel. Price: one forward pass up to the last normalisation.
    """
    wanted = [n.name for n in graph.varying if _in_training(graph, n)]
    found: dict[str, Statistics] = {}
    known = {**graph.constants(), graph.input: x} if wanted else {}
    for node in graph.varying:
        if len(found) == len(wanted):
            break
        inputs = [known[i] for i in node.inputs]
        if node.name in wanted:
            found[node.name] = taken = _statistics(inputs[0], node.name)
            inputs[MEAN], inputs[VARIANCE] = taken.mean, taken.variance
        assert node.operation is not None
        known[node.name] = node.operation.forward(*inputs)
    return found


def with_batch_statistics(graph: Graph, x: Tensor | Mapping[str, Statistics]) -> Graph:
    """The network in training mode on the batch x: its normalisations are affine maps made from the clean batch.

    x: the batch `(batch, *input)` or its `batch_statistics`. The statistics become constants of the new graph,
    `node.mean` and `node.variance`, through which gradients reach the parameters.
    """
    statistics = batch_statistics(graph, x) if isinstance(x, Tensor) else x
    nodes: list[Node] = []
    values: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.name not in statistics:
            nodes.append(node)
            continue
        own = statistics[node.name]
        fresh = {f"{node.name}.batch_mean": own.mean, f"{node.name}.batch_variance": own.variance}
        nodes.extend(Node(name, None, (), tuple(v.shape), Role.CONSTANT) for name, v in fresh.items())
        nodes.append(replace(node, inputs=(*node.inputs[:MEAN], *fresh)))
        values.update(fresh)
    return replace(graph, nodes=tuple(nodes), values={**graph.values, **values}).until(graph.output)


@torch.no_grad()
def update_running_statistics(graph: Graph, x: Tensor | Mapping[str, Statistics]) -> None:
    """Move the running statistics, in place, as one training forward pass of the module on x would, counters included.

    x: the batch or its `batch_statistics`. Running variances take the unbiased variance. A module with momentum=None
    keeps the cumulative average.
    """
    statistics = batch_statistics(graph, x) if isinstance(x, Tensor) else x
    for name, own in statistics.items():
        node = graph.node[name]
        mean, variance = graph.values[node.inputs[MEAN]], graph.values[node.inputs[VARIANCE]]
        momentum = _momentum(node, _owner(mean))
        unbiased = own.variance * (own.count / (own.count - 1))
        mean.copy_(momentum * own.mean + (1 - momentum) * mean)
        variance.copy_(momentum * unbiased + (1 - momentum) * variance)


def _momentum(node: Node, owner: nn.modules.batchnorm._BatchNorm | None) -> float:
    """The weight of this batch; counts it where the module counts."""
    assert isinstance(node.operation, BatchNorm)
    given = node.operation.momentum
    if owner is not None and owner.num_batches_tracked is not None:
        owner.num_batches_tracked.add_(1)
        if owner.momentum is None:
            return 1.0 / float(owner.num_batches_tracked)
    if given is None:
        raise UnsupportedError(f"`{node.name}` averages its statistics without a module that counts the batches")
    return given


def _statistics(x: Tensor, name: str) -> Statistics:
    axes = [a for a in range(x.ndim) if a != 1]
    count = x.numel() // x.shape[1]
    if count < 2:
        raise InputError(f"`x` gives one value a channel at `{name}`; the statistics of a batch need two or more examples")
    return Statistics(x.mean(axes), x.var(axes, correction=0), count)


def _in_training(graph: Graph, node: Node) -> bool:
    """A batch normalisation that uses the batch: any in a graph of a file, in a module those in training mode."""
    if not isinstance(node.operation, BatchNorm):
        return False
    owner = _owner(graph.values.get(node.inputs[MEAN]))
    return owner is None or owner.training


def _owner(running_mean: Tensor | None) -> nn.modules.batchnorm._BatchNorm | None:
    if running_mean is None or running_mean not in _OWNERS:
        return None
    owner: nn.modules.batchnorm._BatchNorm | None = _OWNERS[running_mean]()
    return owner
