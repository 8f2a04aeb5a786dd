"""The architectures of the field, one function each: (shape of one input, classes) -> module, logits `(batch, classes)`.

Inputs are in [0, 1]; weights as torch draws them. A shape that an architecture is not made for raises `InputError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import pairwise
from math import isfinite

import torch
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.networks.deep import cnn3, cnn5, cnn7, dm_large

Shape = tuple[int, ...]


def two_d(shape: Shape = (2,), classes: int = 2, hidden: int = 100) -> nn.Sequential:
    """2-100-2: the network of the plane (Wong & Kolter 2018)."""
    if tuple(shape) != (2,):
        raise InputError(f"`two-d` takes points of the plane, shape (2,), not {tuple(shape)}; `mlp` takes any shape")
    return mlp(shape, classes, (hidden,))


def mlp(shape: Shape, classes: int = 10, hidden: Sequence[int] = (128, 128)) -> nn.Sequential:
    """Fully connected layers with rectifiers between them; an input of several axes is flattened first."""
    flatten = [nn.Flatten()] if len(shape) > 1 else []
    sizes = [torch.Size(shape).numel(), *hidden]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*flatten, *layers, nn.Linear(sizes[-1], classes))


def wk_small(shape: Shape = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Wong & Kolter's small network: two strided convolutions (16, 32), a layer of 100.

    A plain sequence in the order of the published weights, so that these load by their keys `0.weight`, `2.weight`, ...
    """
    channels, size = _map(shape, 4, "wk-small")
    return nn.Sequential(
        nn.Conv2d(channels, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * size // 16, 100),
        nn.ReLU(),
        nn.Linear(100, classes),
    )


def wk_large(shape: Shape = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """Wong & Kolter's large network: four convolutions (32, 32, 64, 64), two layers of 512."""
    channels, size = _map(shape, 4, "wk-large")
    layers: list[nn.Module] = []
    for before, after, kernel, stride in ((channels, 32, 3, 1), (32, 32, 4, 2), (32, 64, 3, 1), (64, 64, 4, 2)):
        layers += [nn.Conv2d(before, after, kernel, stride=stride, padding=1), nn.ReLU()]
    head = [nn.Linear(64 * size // 16, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, classes)]
    return nn.Sequential(*layers, nn.Flatten(), *head)


def digits_cnn(shape: Shape = (1, 8, 8), classes: int = 10) -> nn.Sequential:
    """A small convolutional network for images of about 8 x 8 pixels."""
    channels, size = _map(shape, 2, "digits-cnn")
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * size // 4, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


class Block(nn.Module):
    """Two convolutions beside a short cut; the short cut is a convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after) if norm else nn.Identity() for _ in range(2)])
        same = before == after and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(self.norms[1](self.second(y)) + self.short(x))


def small_resnet(shape: Shape = (1, 28, 28), classes: int = 10, width: int = 8, norm: bool = False) -> nn.Sequential:
    """A strided convolution and two residual blocks; `norm` adds batch normalisation."""
    channels, size = _map(shape, 4, "small-resnet")
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=2, padding=1),
        nn.ReLU(),
        Block(width, width, 1, norm),
        Block(width, 2 * width, 2, norm),
        nn.Flatten(),
        nn.Linear(2 * width * size // 16, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def small_resnet_norm(shape: Shape = (1, 28, 28), classes: int = 10) -> nn.Sequential:
    """The small residual network with batch normalisation."""
    return small_resnet(shape, classes, norm=True)


def wk_resnet(shape: Shape = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """Four residual blocks (16, 16, 32, 64) and a layer of 1,000 (Wong et al. 2018)."""
    channels, size = _map(shape, 4, "wk-resnet")
    blocks = [Block(a, b, s, norm=False) for a, b, s in ((16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 64, 2))]
    first = [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU()]
    head = [nn.Linear(64 * size // 16, 1000), nn.ReLU(), nn.Linear(1000, classes)]
    return nn.Sequential(*first, *blocks, nn.Flatten(), *head)


class Normalize(nn.Module):
    """(x - mean) / std for each channel; the first layer of a model that was trained on normalised inputs.

    axes: how many follow the channel: 2 for images `(batch, channels, height, width)`, 0 for vectors `(batch, features)`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], axes: int = 2) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(isfinite(m) and isfinite(s) and s > 0 for m, s in zip(mean, std, strict=False)):
            told = "expected as many of each, finite, std positive"
            raise InputError(f"`mean` and `std` are {tuple(mean)} and {tuple(std)}, {told}")
        shape = (len(mean), *[1] * axes)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.get_default_dtype()).reshape(shape))
        self.register_buffer("std", torch.tensor(std, dtype=torch.get_default_dtype()).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.mean.ndim + 1 or x.shape[1] != len(self.mean):
            told = f"expected {len(self.mean)} channels and {self.mean.ndim - 1} axes after them"
            raise InputError(f"`Normalize` got an input of shape {tuple(x.shape)}, {told}")
        return (x - self.mean) / self.std


ARCHITECTURES: dict[str, Callable[[Shape, int], nn.Module]] = {
    "two-d": two_d,
    "mlp": mlp,
    "wk-small": wk_small,
    "wk-large": wk_large,
    "digits-cnn": digits_cnn,
    "small-resnet": small_resnet,
    "small-resnet-bn": small_resnet_norm,
    "wk-resnet": wk_resnet,
    "cnn3": cnn3,
    "cnn5": cnn5,
    "cnn7": cnn7,
    "dm-large": dm_large,
}


def build(name: str, shape: Shape, classes: int) -> nn.Module:
    """The architecture `name` for inputs of this shape; refuses a shape that it is not made for."""
    if name not in ARCHITECTURES:
        near = get_close_matches(name, ARCHITECTURES, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`model` is {name!r}, expected one of {', '.join(ARCHITECTURES)}{hint}")
    if not shape or min(shape) < 1 or classes < 2:
        raise InputError(
            f"`{name}` for inputs of shape {tuple(shape)} and {classes} classes: expected positive sizes, classes >= 2"
        )
    return ARCHITECTURES[name](tuple(shape), classes)


def _map(shape: Shape, factor: int, name: str) -> tuple[int, int]:
    """Channels and cells of an image shape whose sides the strides divide."""
    if len(shape) != 3 or shape[1] % factor or shape[2] % factor:
        raise InputError(f"`{name}` takes images (channels, height, width) with sides divisible by {factor}, not {shape}")
    return shape[0], shape[1] * shape[2]
