"""Weights to begin with."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def for_intervals(module: nn.Module) -> None:
    """Draw the weights of all layers but the last so that interval bounds neither grow nor shrink from layer to layer.

    Normal with standard deviation `sqrt(2 pi) / fan_in`: the mean half-width behind a layer and a rectifier is then
    that before it. Biases are left as they are. Source: Shi et al. 2021.
    """
    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    for layer in layers[:-1]:
        fan_in = layer.weight[0].numel()
        layer.weight.normal_(0.0, math.sqrt(2 * math.pi) / fan_in)
