"""Cascades: each further network is trained on the examples that those before it cannot certify (Wong et al. 2018)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ballproof.bounds import margins, stopping
from ballproof.data import Dataset
from ballproof.networks import as_graph
from ballproof.networks.architectures import build
from ballproof.networks.normalized import normalized
from ballproof.problems import ball
from ballproof.train.config import TrainConfig
from ballproof.train.initial import for_intervals
from ballproof.train.parallel import Ranks


def first_weights(config: TrainConfig, data: Dataset) -> nn.Module:
    """The architecture of a training with its first weights, which depend on the seed alone."""
    torch.manual_seed(config.seed)
    module = build(config.model, data.shape, data.classes)
    if config.init == "interval":
        for_intervals(module, data.shape)
    return normalized(module, data.shape) if config.normalize else module


def stage_folder(path: Path, stage: int) -> Path:
    """Where a stage of a cascade is trained."""
    return path / f"stage{stage}"


def stages_in(path: Path) -> list[Path]:
    """The stages of the cascade in a folder, in order; none where it holds no cascade."""
    found: list[Path] = []
    while stage_folder(path, len(found)).is_dir():
        found.append(stage_folder(path, len(found)))
    return found


def of_stage(config: TrainConfig, stage: int) -> TrainConfig:
    """The settings of a stage: those of the training, with a seed of its own."""
    return replace(config, seed=config.seed + stage)


def uncertified(module: nn.Module, data: Dataset, config: TrainConfig, batch: int = 250, ranks: Ranks | None = None) -> Dataset:
    """The examples whose own prediction the network cannot certify at the target eps, by the training's certifying method.

    ranks: the processes of the training, which all go on with what the first one finds.
    """
    clip, device = (0.0, 1.0) if config.clip else None, next(module.parameters()).device
    training, left = module.training, []
    module.eval()
    with torch.no_grad():
        for x in data.inputs.split(batch):
            region = ball(config.norm, x.to(device), config.eps, clip)
            graph = as_graph(module, region)
            proven = margins(graph, region, graph(x.to(device)).argmax(1), stopping(config.certify_method, 0.0))
            left.append((proven <= 0).any(1).cpu())
    module.train(training)
    return data.subset((ranks or Ranks()).agreed(torch.cat(left)))
