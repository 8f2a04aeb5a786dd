"""Clean, attacked and certified error on the held-out validation split."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ballproof.attacks import PGD
from ballproof.bounds import margins
from ballproof.data import Dataset
from ballproof.networks import as_graph
from ballproof.problems import ball, classified_as
from ballproof.train.config import TrainConfig


def validate(config: TrainConfig, module: nn.Module, data: Dataset, batch: int = 250) -> dict[str, Any]:
    """Errors as fractions, at the target eps: clean on the whole split, PGD and certified on its first `evaluate` examples.

    certified_error counts an example as an error unless every margin is proven positive, so it is an upper bound of
    the error under any attack; pgd_error is a lower bound of it.
    """
    training, device = module.training, next(module.parameters()).device
    module.eval()
    clip = (0.0, 1.0) if config.clip else None
    attack = PGD(steps=config.attack_steps, seed=config.seed)
    wrong = broken = unproven = 0
    limit = min(config.evaluate, len(data.labels)) if config.evaluate else len(data.labels)
    with torch.no_grad():
        for start in range(0, len(data.labels), batch):
            x, y = data.inputs[start : start + batch].to(device), data.labels[start : start + batch].to(device)
            wrong += int((module(x).argmax(1) != y).sum())
            x, y = x[: max(0, limit - start)], y[: max(0, limit - start)]
            if len(y) == 0:
                continue
            region = ball(config.norm, x, config.eps, clip)
            graph = as_graph(module, region)
            broken += int(attack(graph, region, classified_as(y)).success.sum())
            unproven += int((margins(graph, region, y, config.certify_method) <= 0).any(1).sum())
    module.train(training)
    errors = {"clean_error": wrong / len(data.labels), "pgd_error": broken / limit, "certified_error": unproven / limit}
    return {**errors, "held_out": len(data.labels), "evaluated": limit, "certify_method": config.certify_method}
