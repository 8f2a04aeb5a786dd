"""Batch normalisation for the time of a training alone: put into a plain sequence of layers, and taken into them afterwards."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ballproof.errors import InputError


def normalized(module: nn.Module, shape: tuple[int, ...]) -> nn.Sequential:
    """The layers with a batch normalisation behind each but the last; they are shared, not copied.

    shape: of one input. Raises `InputError` for a module that is no plain sequence of layers, that has normalisations already,
    or with a layer that no normalisation can be taken into: one without a bias, or linear along the last of several axes.
    """
    if not isinstance(module, nn.Sequential) or any(list(m.children()) for m in module):
        raise InputError("`normalize` is for plain sequences of layers; this architecture branches")
    if any(_norm(m) for m in module):
        raise InputError("`normalize` is for architectures without batch normalisation; this one has its own")
    weighted = [m for m in module if isinstance(m, (nn.Conv2d, nn.Linear))]
    _check(module, weighted[:-1], shape)
    found: list[nn.Module] = []
    for m in module:
        found.append(m)
        if m in weighted[:-1]:
            found.append(nn.BatchNorm2d(m.out_channels) if isinstance(m, nn.Conv2d) else nn.BatchNorm1d(m.out_features))
    return nn.Sequential(*found)


def folded(module: nn.Module) -> nn.Sequential:
    """What `normalized` gave, in evaluation mode and without the normalisations: equal up to rounding. A copy."""
    assert isinstance(module, nn.Sequential)
    found: list[nn.Module] = []
    for m in copy.deepcopy(module).eval():
        if isinstance(m, nn.BatchNorm2d):
            assert isinstance(found[-1], nn.Conv2d)
            found[-1] = fuse_conv_bn_eval(found[-1], m)
        elif isinstance(m, nn.BatchNorm1d):
            assert isinstance(found[-1], nn.Linear)
            found[-1] = fuse_linear_bn_eval(found[-1], m)
        else:
            found.append(m)
    return nn.Sequential(*found)


@torch.no_grad()
def _check(module: nn.Sequential, weighted: list[nn.Conv2d | nn.Linear], shape: tuple[int, ...]) -> None:
    parameter = next(module.parameters())
    value: Tensor = torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device)
    for place, m in enumerate(module):
        if m in weighted and m.bias is None:
            raise InputError(f"`normalize` folds normalisations into biases, and layer {place} has none: {m}")
        if m in weighted and isinstance(m, nn.Linear) and value.ndim != 2:
            told = f"layer {place} is given inputs of shape {tuple(value.shape[1:])}"
            raise InputError(f"`normalize` is for linear layers on inputs of one axis; {told}: {m}")
        value = m(value)


def _norm(module: nn.Module) -> bool:
    return isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
