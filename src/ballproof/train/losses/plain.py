"""Losses that prove nothing: cross-entropy on clean inputs, on attacked ones, and their trade-off. The baselines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.attacks import PGD
from ballproof.problems import classified_as
from ballproof.train.losses.adversary import walked
from ballproof.train.losses.moment import Moment


def standard(moment: Moment) -> Tensor:
    """Cross-entropy of the clean inputs."""
    return F.cross_entropy(moment.logits(moment.x), moment.y)


def pgd(moment: Moment) -> Tensor:
    """Cross-entropy at the worst points that an attack finds (Madry et al. 2018)."""
    return F.cross_entropy(moment.logits(attacked(moment, 1.0)), moment.y)


def trades(moment: Moment) -> Tensor:
    """Cross-entropy of the clean inputs plus `trades_beta` times how far an attack moves the answer (Zhang et al. 2019)."""
    clean = F.log_softmax(moment.still(moment.x).detach(), 1)

    def ask(x: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(moment.still(x), 1), clean, reduction="none", log_target=True).sum(1)

    config = moment.config
    with moment.cheap():
        points = walked(ask, moment.box(1.0).box(), config.walk_steps, config.walk_size, moment.generator)
    logits = moment.logits(moment.x)
    moved = F.kl_div(F.log_softmax(moment.logits(points), 1), F.log_softmax(logits, 1), reduction="batchmean", log_target=True)
    return F.cross_entropy(logits, moment.y) + config.trades_beta * moved


def attacked(moment: Moment, factor: float) -> Tensor:
    """Points of the ball of `factor` times the radius with large cross-entropy."""
    config = moment.config
    if config.norm != "linf":
        seed = int(torch.randint(2**31, (), generator=moment.generator))
        attack = PGD(steps=config.walk_steps, loss="cross-entropy", seed=seed, early_stop=False)
        with moment.cheap():
            return attack(moment.still, moment.ball(factor), classified_as(moment.y)).inputs
    ask = lambda x: F.cross_entropy(moment.still(x), moment.y, reduction="none")  # noqa: E731
    with moment.cheap():
        return walked(ask, moment.box(factor).box(), config.walk_steps, config.walk_size, moment.generator)
