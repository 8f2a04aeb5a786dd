"""Averages over a training: of the weights of its last epochs, and of the statistics of the whole training set."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ballproof.errors import InputError
from ballproof.graph.statistics import batch_statistics
from ballproof.networks import as_graph
from ballproof.problems import ball


@torch.no_grad()
def averaged(mean: dict[str, Tensor] | None, count: int, module: nn.Module) -> dict[str, Tensor]:
    """The mean of `count` earlier weights with the present ones (stochastic weight averaging, Izmailov et al. 2018)."""
    now = {k: v.detach().clone() for k, v in module.named_parameters()}
    if mean is None:
        return now
    return {k: mean[k] + (v - mean[k]) / (count + 1) for k, v in now.items()}


@torch.no_grad()
def needs_pairs(module: nn.Module, x: Tensor) -> bool:
    """Whether one example, `x (1, *input)`, is too few for the statistics of a batch normalisation."""
    if not any(isinstance(m, _BatchNorm) for m in module.modules()):
        return False
    training = module.training
    module.train()
    try:
        batch_statistics(as_graph(module, ball("linf", x, 0.0, None)), x)
    except InputError:
        return True
    finally:
        module.train(training)
    return False


@torch.no_grad()
def precise_statistics(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of batch normalisations to the average over all batches, each of equal weight."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta, training = [m.momentum for m in norms], module.training
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    module.train()
    for x in batches:
        module(x)
    module.train(training)
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
