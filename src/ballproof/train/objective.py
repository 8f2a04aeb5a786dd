"""What one step minimises: the clean loss, the robust loss, and their mixture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.attacks import PGD
from ballproof.bounds import margins
from ballproof.graph import Graph
from ballproof.problems import Region, ball, classified_as
from ballproof.train.config import TrainConfig
from ballproof.train.loss import training_graph, worst_cross_entropy


def objective(config: TrainConfig, module: nn.Module, x: Tensor, y: Tensor, now: float) -> tuple[Tensor, Tensor, Tensor]:
    """(clean loss, robust loss, their mixture with the weight penalty) at the epoch `now`, a fraction.

    For the methods that prove nothing the robust loss is the attacked one (`pgd`) or the clean one (`standard`).
    """
    region = ball(config.norm, x, config.eps_at(now), (0.0, 1.0) if config.clip else None)
    graph = training_graph(module, region, x)
    kappa = config.kappa_at(now)
    clean = F.cross_entropy(graph(x), y) if kappa > 0 or config.method == "standard" else x.new_zeros(())
    robust = clean if config.method == "standard" else _robust(config, graph, region, y)
    mixed = kappa * clean + (1 - kappa) * robust
    if config.l1 > 0:
        weights = (p for p in module.parameters() if p.ndim > 1)
        mixed = mixed + config.l1 * torch.stack([w.abs().sum() for w in weights]).sum()
    return clean.detach(), robust.detach(), mixed


def _robust(config: TrainConfig, graph: Graph, region: Region, y: Tensor) -> Tensor:
    if config.method != "pgd":
        return worst_cross_entropy(margins(graph, region, y, config.method))
    attack = PGD(steps=config.attack_steps, loss="cross-entropy", seed=config.seed, early_stop=False)
    found = attack(graph, region, classified_as(y)).inputs
    return F.cross_entropy(graph(found), y)
