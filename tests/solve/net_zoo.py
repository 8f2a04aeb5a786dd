"""Tiny random networks of many kinds, each with what an oracle reads, on regions that it knows; and questions about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ballproof.problems import L1, Box, Linf, Property, Region
from oracles import enumeration, smooth
from oracles.maxnet import Absolute, Affine, Array, Layers, Maximum, layers, residual

SWELL, SWELL_SMOOTH = 2.0, 3.0
"""The default draw of weights leaves tiny networks almost linear."""

NEAR = 0.3
"""How far from their kinks neurons are at the point; drawn without this, half of such networks are constant near it."""


class Residual(nn.Module):
    """last(relu(h + second(h))) for h = relu(first(x))."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        return self.last(torch.relu(h + self.second(h)))


@dataclass(frozen=True, eq=False)
class Tiny:
    """A network in float64 on inputs of `shape`, and a point near which it is asked."""

    kind: str
    net: nn.Module
    shape: tuple[int, ...]
    point: Tensor

    @property
    def layers(self) -> Layers:
        """Of a piecewise linear network."""
        return read(self.net, self.shape)

    @property
    def outputs(self) -> int:
        with torch.no_grad():
            return int(self.net(self.point).shape[1])

    @property
    def smooth(self) -> bool:
        return self.kind in SMOOTH


KINDS: dict[str, tuple[tuple[int, ...], Callable[[np.random.Generator], nn.Module]]] = {
    "dense": ((3,), lambda r: nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))),
    "deep": (
        (2,),
        lambda r: nn.Sequential(
            *(m for n in ((2, 4), (4, 3), (3, 3)) for m in (nn.Linear(*n), nn.ReLU())), nn.Linear(3, int(r.integers(1, 4)))
        ),
    ),
    "leaky": ((3,), lambda r: nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(float(r.uniform(0, 0.9))), nn.Linear(4, 3))),
    "abs": ((2,), lambda r: nn.Sequential(nn.Linear(2, 3), Absolute(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))),
    "clamp": (
        (3,),
        lambda r: nn.Sequential(nn.Linear(3, 3), nn.Hardtanh(-float(r.uniform(0, 1)), 0.6), nn.Linear(3, 2)),
    ),
    "conv": (
        (1, 2, 3),
        lambda r: nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 2)),
    ),
    "residual": ((3,), lambda r: Residual(3, 4, 2)),
    "pool": (
        (1, 3),
        lambda r: nn.Sequential(nn.Conv1d(1, 2, 2), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2, 2)),
    ),
    "bare pool": ((1, 4), lambda r: nn.Sequential(nn.Conv1d(1, 2, 2), nn.MaxPool1d(3), nn.Flatten(), nn.Linear(2, 2))),
}

SMOOTH: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
}


def curved(kind: str) -> tuple[tuple[int, ...], Callable[[np.random.Generator], nn.Module]]:
    """A dense network of this activation; of tanh, behind a convolution."""
    own = SMOOTH[kind]
    if kind == "tanh":
        return (1, 3), lambda r: nn.Sequential(nn.Conv1d(1, 2, 2), own(), nn.Flatten(), nn.Linear(4, 2), own(), nn.Linear(2, 2))
    return (2,), lambda r: nn.Sequential(nn.Linear(2, 4), own(), nn.Linear(4, 3), own(), nn.Linear(3, 2))


def tiny(kind: str, seed: int) -> Tiny:
    """The network of this kind and number."""
    torch.manual_seed(seed)
    shape, make = curved(kind) if kind in SMOOTH else KINDS[kind]
    net = make(np.random.default_rng(seed)).double()
    point = torch.rand(1, *shape, dtype=torch.float64)
    swell(net, point, SWELL_SMOOTH if kind in SMOOTH else SWELL)
    return Tiny(kind, net, shape, point)


def swell(net: nn.Module, point: Tensor, factor: float) -> None:
    """Weights of a size at which kinks matter, and biases that bring the kinks near the point."""

    def centered(module: nn.Module, given: tuple[Tensor, ...], found: Tensor) -> Tensor:
        dims = tuple(i for i in range(found.ndim) if i != 1)
        shift = NEAR * torch.randn(found.shape[1], dtype=found.dtype) - found.mean(dims)
        module.bias.add_(shift)  # type: ignore[union-attr, operator]
        return found + shift.reshape(1, -1, *(1 for _ in found.shape[2:]))

    affine = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d)]
    with torch.no_grad():
        for module in affine:
            module.weight.mul_(factor)
        hooks = [m.register_forward_hook(centered) for m in affine]
        net(point)
        for hook in hooks:
            hook.remove()


def read(net: nn.Module, shape: tuple[int, ...]) -> Layers:
    """The oracle's layers: those it reads itself, and clamps as two rectifiers."""
    if isinstance(net, Residual):
        return residual(net.first, net.second, net.last)
    assert isinstance(net, nn.Sequential)
    found: Layers = []
    for module in net:
        found += _clamp(module, shape) if isinstance(module, nn.Hardtanh) else layers(nn.Sequential(module), shape)
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
    return found


def _clamp(module: nn.Hardtanh, shape: tuple[int, ...]) -> Layers:
    """high - relu(high - low - relu(z - low))."""
    eye, ones = np.eye(int(np.prod(shape))), np.ones(int(np.prod(shape)))
    low, high = module.min_val, module.max_val
    rectify = Maximum(tuple(np.outer([0.0, 1.0], row) for row in eye))
    return [Affine(eye, -low * ones), rectify, Affine(-eye, (high - low) * ones), rectify, Affine(-eye, high * ones)]


REGIONS: dict[str, Callable[[Tensor], Region]] = {
    "linf": lambda x: Linf(x, 0.35),
    "clipped": lambda x: Linf(x, 0.5, clip=(0.0, 1.0)),
    "box": lambda x: Box(x - 0.2, x + 0.4),
    "l1": lambda x: L1(x, 0.7),
    "l1 clipped": lambda x: L1(x, 0.7, clip=(0.0, 1.0)),
}


def polytope(region: Region) -> enumeration.Polytope:
    """The region as the oracle sees it, from the numbers the user gave."""
    if isinstance(region, Box):
        return enumeration.box(region.lower.flatten().numpy(), region.upper.flatten().numpy())
    assert isinstance(region, Linf | L1)
    center, eps = region.center.flatten().numpy(), float(region.reach.max())
    low, high = (np.full(len(center), v) for v in ((-np.inf, np.inf) if region.clip is None else (0.0, 1.0)))
    if isinstance(region, L1):
        return enumeration.l1_ball(center, eps, low, high)
    return enumeration.box(np.maximum(low, center - eps), np.minimum(high, center + eps))


@dataclass(frozen=True, eq=False)
class Question:
    """A property whose worst margin over the region is `margin`: but for the linear programs of enumeration, 1e-8, or on a
    smooth network up to 1e-4 less."""

    tiny: Tiny
    region: Region
    asked: Property
    margin: float


MARGINS = 1e-3, -1e-3, 3e-2, -3e-2, 0.3, -0.3


@cache
def question(kind: str, seed: int) -> Question:
    """The question of this number: one to three groups of one to three rows (smooth: of one), every margin in its turn."""
    rng, net = np.random.default_rng(1000 + seed), tiny(kind, seed)
    names = list(REGIONS)[:3] if net.smooth else list(REGIONS)
    region = REGIONS[names[int(rng.integers(len(names)))]](net.point)
    margin = MARGINS[int(rng.integers(len(MARGINS)))]
    sizes = [1 if net.smooth else int(n) for n in rng.integers(1, 4, size=int(rng.integers(1, 4)))]
    rows, offsets, groups = [], [], []
    excess = np.append(0.0, rng.uniform(0, 0.5, len(sizes) - 1))
    for number, size in enumerate(sizes):
        own, ends = rng.normal(size=(size, net.outputs)), rng.normal(size=size) * 0.3
        rows.append(own)
        offsets.append(ends - least_largest(net, region, own, ends) + margin + excess[number])
        groups += [number] * size
    asked = Property(torch.tensor(np.concatenate(rows))[None], torch.tensor(np.concatenate(offsets))[None], tuple(groups))
    return Question(net, region, asked, margin)


def least_largest(net: Tiny, region: Region, rows: Array, ends: Array) -> float:
    """The least value of the largest row, by enumeration; of the only row of a smooth network, by cells."""
    if not net.smooth:
        return largest_row_minimum(net.layers, polytope(region), rows, ends)
    box = region.box()
    assert isinstance(net.net, nn.Sequential)
    return smooth.minimum(net.net, box.lower, box.upper, torch.from_numpy(rows[0])) + float(ends[0])


def largest_row_minimum(net: Layers, region: enumeration.Polytope, rows: Array, ends: Array) -> float:
    """The least value of the largest row, by enumeration: one more maximum behind the network."""
    head = [Affine(rows, ends), Maximum((np.eye(len(rows)),))]
    return enumeration.minimum([*net, *head], region, np.ones(1))
