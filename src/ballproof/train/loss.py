"""The robust loss: cross-entropy of the worst logits that the proven margins still allow."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ballproof.bounds import Method, margins
from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.graph.folded import without_norms
from ballproof.graph.statistics import batch_statistics, update_running_statistics, with_batch_statistics
from ballproof.networks import active_dropout, as_graph
from ballproof.problems import Region, ball
from ballproof.train.losses.moment import worst_cross_entropy

Reduction = Literal["mean", "sum", "none"]


def robust_loss(
    network: nn.Module | Graph,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    norm: str = "linf",
    clip: tuple[float, float] | None = (0.0, 1.0),
    method: str | Method = "dual",
    reduction: Reduction = "mean",
) -> Tensor:
    """An upper bound of the cross-entropy at every point of the ball; use it in place of `cross_entropy`.

    x: `(batch, *input)` in the model's input units, y: `(batch,)` labels, eps in the units of x. Differentiable in the
    parameters. A module in training mode uses the batch statistics of the clean x in its batch normalisations and
    updates their running statistics, as a forward pass would; active dropout is refused.
    Source: Wong & Kolter 2018, Theorem 2 and equation 14. Price: for `dual`, about one forward pass for each neuron.
    """
    region = ball(norm, x, eps, clip)
    graph = training_graph(network, region, x)
    return worst_cross_entropy(margins(graph, region, y, method), reduction)


def training_graph(network: nn.Module | Graph, region: Region, x: Tensor) -> Graph:
    """The graph of the network as it trains: with the clean batch's statistics where it is in training mode."""
    graph = as_graph(network, region)
    if isinstance(network, Graph) or not network.training:
        return graph
    if dropped := active_dropout(network):
        raise InputError(f"`network` is in training mode with active dropout ({', '.join(dropped)}); set p=0 or call eval()")
    if not any(type(n.operation).__name__ == "BatchNorm" for n in graph.nodes):
        return graph
    taken = batch_statistics(graph, x)
    update_running_statistics(graph, taken)
    return without_norms(with_batch_statistics(graph, taken))
