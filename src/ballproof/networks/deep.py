"""The convolutional networks that certified training is measured on: CNN3, CNN5, CNN7 and their elder without normalisation."""

from __future__ import annotations

import torch
from torch import nn

from ballproof.errors import InputError

Layers = tuple[tuple[int, int, int], ...]
"""(channels, kernel, stride) of each convolution; sides are divided by the strides, whatever the kernel."""


def cnn3(shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Two strided convolutions (16, 32) with batch normalisation and one matrix."""
    return convolutional(shape, classes, ((16, 5, 2), (32, 4, 2)), (), norm=True, name="cnn3")


def cnn5(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """Three convolutions (64, 64, 128) and a layer of 512, with batch normalisation: 4.4 million parameters on CIFAR-10."""
    return convolutional(shape, classes, ((64, 3, 1), (64, 4, 2), (128, 4, 2)), (512,), norm=True, name="cnn5")


def cnn7(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """Five convolutions (64, 64, 128, 128, 128) and a layer of 512, with batch normalisation (Shi et al. 2021)."""
    return convolutional(shape, classes, DEEP, (512,), norm=True, name="cnn7")


def dm_large(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """The same layers as CNN7 without batch normalisation (Gowal et al. 2018, the large network)."""
    return convolutional(shape, classes, DEEP, (512,), norm=False, name="dm-large")


DEEP: Layers = ((64, 3, 1), (64, 3, 1), (128, 3, 2), (128, 3, 1), (128, 3, 1))


def convolutional(
    shape: tuple[int, ...], classes: int, convolutions: Layers, hidden: tuple[int, ...], norm: bool, name: str
) -> nn.Sequential:
    """Convolutions, then matrices, a rectifier behind each but the last; `norm` puts batch normalisation before it."""
    if len(shape) != 3:
        raise InputError(f"`{name}` takes images (channels, height, width), not {shape}")
    layers: list[nn.Module] = []
    before, (height, width) = shape[0], shape[1:]
    for after, kernel, stride in convolutions:
        padding = (kernel - stride + 1) // 2
        layers.append(nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=not norm))
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers.append(nn.ReLU())
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        before = after
        if min(height, width) < 1:
            raise InputError(f"`{name}` takes larger images than {shape}")
    size = int(torch.Size((before, height, width)).numel())
    layers.append(nn.Flatten())
    for width_ in hidden:
        layers.append(nn.Linear(size, width_, bias=not norm))
        layers += [nn.BatchNorm1d(width_)] if norm else []
        layers.append(nn.ReLU())
        size = width_
    return nn.Sequential(*layers, nn.Linear(size, classes))
