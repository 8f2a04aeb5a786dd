"""The nets that `bounds.py` times: weights as torch draws them; eps in units of the input, which lies in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ballproof.networks.architectures import Block, mlp, wk_small


@dataclass(frozen=True)
class Case:
    """A net, its inputs, eps."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    eps: float


def resnet() -> nn.Module:
    """Two residual blocks without normalisation, the sizes of VNN-COMP's resnet2b."""
    ahead = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU()]
    blocks = [Block(8, 16, 2, norm=False), Block(16, 16, 1, norm=False)]
    return nn.Sequential(*ahead, *blocks, nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10))


def convlarge() -> nn.Module:
    """Four convolutions and two fully connected layers."""
    sizes = ((3, 32, 3, 1), (32, 32, 4, 2), (32, 64, 3, 1), (64, 64, 4, 2))
    maps = [m for a, b, k, s in sizes for m in (nn.Conv2d(a, b, k, stride=s, padding=1), nn.ReLU())]
    return nn.Sequential(*maps, nn.Flatten(), nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 10))


NETS = {
    "convsmall": Case(wk_small, (1, 28, 28), 16, 0.02),
    "mlp-6x256": Case(lambda: mlp((1, 28, 28), 10, [256] * 6), (1, 28, 28), 16, 0.005),  # at 0.02 no margin is near zero
    "resnet": Case(resnet, (3, 32, 32), 4, 2 / 255),
    "convlarge": Case(convlarge, (3, 32, 32), 1, 2 / 255),
}
