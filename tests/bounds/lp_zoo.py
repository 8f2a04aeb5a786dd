"""Tiny random networks for the tests of the linear program, each with the oracle's own layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ballproof.problems import L1, Box, Linf, Region
from oracles import enumeration
from oracles.maxnet import Absolute, Layers, layers, residual

INPUTS = 3


class Residual(nn.Module):
    """last(relu(h + second(h))) for h = relu(first(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(INPUTS, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.last(torch.relu(h + self.second(h)))


def _pool() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, INPUTS)), nn.Conv1d(1, 3, 2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(3, 2)
    )


ZOO: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.Sequential(nn.Linear(INPUTS, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)),
    "deep": lambda: nn.Sequential(
        nn.Linear(INPUTS, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)
    ),
    "leaky": lambda: nn.Sequential(nn.Linear(INPUTS, 5), nn.LeakyReLU(0.2), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2)),
    "abs": lambda: nn.Sequential(nn.Linear(INPUTS, 4), Absolute(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)),
    "pool": _pool,
    "residual": Residual,
}


@cache
def make(name: str, seed: int) -> tuple[nn.Module, Layers]:
    """A network in float64 and the oracle's reading of it; made once, so do not change it."""
    torch.manual_seed(seed)
    net = ZOO[name]().double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.0)  # the default draw leaves tiny nets almost linear
    if isinstance(net, Residual):
        return net, residual(net.first, net.second, net.last)
    assert isinstance(net, nn.Sequential)
    if name == "pool":
        return net, layers(net[1:], (1, INPUTS))
    return net, layers(net, (INPUTS,))


def point(seed: int) -> Tensor:
    """One input in [0, 1]."""
    return torch.rand(1, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


REGIONS: dict[str, Callable[[Tensor], Region]] = {
    "linf": lambda x: Linf(x, 0.4),
    "linf-clip": lambda x: Linf(x, 0.6, clip=(0.0, 1.0)),
    "box": lambda x: Box(x - 0.2, x + 0.5),
    "l1": lambda x: L1(x, 0.8),
    "l1-clip": lambda x: L1(x, 0.8, clip=(0.0, 1.0)),
}


def polytope(region: Region) -> enumeration.Polytope:
    """The region of one example as the oracle sees it, from the numbers the user gave."""
    if isinstance(region, Box):
        return enumeration.box(region.lower[0].numpy(), region.upper[0].numpy())
    assert isinstance(region, Linf | L1)
    center, eps = region.center[0].numpy(), float(region.reach.max())
    low, high = (np.full(INPUTS, v) for v in ((-np.inf, np.inf) if region.clip is None else (0.0, 1.0)))
    if isinstance(region, L1):
        return enumeration.l1_ball(center, eps, low, high)
    return enumeration.box(np.maximum(low, center - eps), np.minimum(high, center + eps))
