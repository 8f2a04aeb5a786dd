"""What one step minimises: the clean loss, the robust loss, and the penalties."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.graph.folded import without_norms
from ballproof.networks import as_graph
from ballproof.problems import ball
from ballproof.train.augment import augmented
from ballproof.train.config import TrainConfig
from ballproof.train.loss import training_graph
from ballproof.train.losses import LOSSES, Moment
from ballproof.train.regularizers import unstable, warm_up, weights_of

LEAST = 1e-6
"""The radius at which interval bounds are penalised while the ball's own is 0."""

RANK = 0x9E3779B1
"""Between the seeds of two processes: torch's generator looks at the lowest 32 bits alone."""


class Objective(nn.Module):
    """The loss as a module of its own, so that processes can share its backward pass."""

    def __init__(self, config: TrainConfig, module: nn.Module, rank: int = 0) -> None:
        super().__init__()
        self.config, self.module, self.rank = config, module, rank

    def forward(self, x: Tensor, y: Tensor, now: float) -> tuple[Tensor, Tensor, Tensor]:
        return objective(self.config, self.module, x, y, now, self.rank)


def objective(
    config: TrainConfig, module: nn.Module, x: Tensor, y: Tensor, now: float, rank: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """(clean loss, robust loss, their mixture with the penalties) at the epoch `now`, a fraction.

    For the methods that prove nothing the robust loss is the attacked one or the clean one. rank: of this process, whose random
    numbers are its own.
    """
    eps, config = config.eps_at(now), config.at(now)
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + round(now * 1_000_000) + rank * RANK)
    x = augmented(x, config.augment, generator)
    region = ball(config.norm, x, eps, (0.0, 1.0) if config.clip else None)
    graph = training_graph(module, region, x)
    moment = Moment(config, graph, without_norms(as_graph(module, region)), x, y, eps, generator)
    kappa = config.kappa_at(now)
    clean = F.cross_entropy(moment.logits(x), y) if kappa > 0 or config.method == "standard" else x.new_zeros(())
    robust = clean if config.method == "standard" or kappa == 1 else LOSSES[config.method](moment)
    mixed = kappa * clean + (1 - kappa) * robust
    return clean.detach(), robust.detach(), mixed + _penalties(moment, module)


def _penalties(moment: Moment, module: nn.Module) -> Tensor:
    config, total = moment.config, moment.x.new_zeros(())
    full = config.eps * config.eps_factor
    if config.warm_up > 0 and moment.eps < full:
        own = moment if moment.eps > LEAST else replace(moment, eps=LEAST)
        total = total + config.warm_up * (1 - moment.eps / full) * warm_up(own)
    if config.stability > 0:
        total = total + config.stability * unstable(moment)
    if config.l1 > 0:
        total = total + config.l1 * torch.stack([w.abs().sum() for w in weights_of(module)]).sum()
    return total
