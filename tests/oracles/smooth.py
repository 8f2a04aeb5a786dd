"""The minimum of a small smooth network on a box by cells: the centre's value and gradient, and a bound of the curvature.

On a cell of half-width r, f >= f(c) - r |f'(c)|_1 - r^2 D2 / 2, where D2 bounds the second derivative along every direction of
length 1 (L-infinity) on all of space; it follows layer by layer from the sizes of the weights and of the activation's own
derivatives. Cells that this puts above the least value seen are gone, the others are halved along every axis.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from oracles.maxnet import Affine, layers

STEEPNESS: dict[type, tuple[float, float]] = {
    nn.Sigmoid: (0.25, 0.0963),
    nn.Tanh: (1.0, 0.7699),
    nn.Softplus: (1.0, 0.25),
    nn.SiLU: (1.0999, 0.5),
    nn.GELU: (1.1290, 0.7979),
    nn.ELU: (1.0, 1.0),
}
"""The largest first derivative and the largest second one: 1/4 and 1/(6 sqrt 3) of a sigmoid; 1 and 4/(3 sqrt 3) of tanh;
1 and 1/4 of softplus; of x sigmoid(x) 1.09984 and 1/2; of x Phi(x) 1.12891 and 2 phi(0); of ELU 1 and, on its left, 1."""

MOST = 200_000
"""Cells at once."""


def curvature(net: nn.Sequential, shape: tuple[int, ...], row: np.ndarray) -> float:
    """A bound of the second derivative of row · net along directions of length 1 in L-infinity."""
    first, second = np.ones(int(np.prod(shape))), np.zeros(int(np.prod(shape)))
    for module in net:
        if type(module) in STEEPNESS:
            slope, bend = STEEPNESS[type(module)]
            first, second = slope * first, bend * first**2 + slope * second
        else:
            (affine,) = layers(nn.Sequential(module), shape)
            assert isinstance(affine, Affine)
            weights = np.abs(affine.matrix)
            first, second = weights @ first, weights @ second
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
    return float(np.abs(row) @ second)


def minimum(net: nn.Sequential, lower: Tensor, upper: Tensor, row: Tensor, gap: float = 1e-4) -> float:
    """A value of row · net on `lower <= x <= upper (1, *input)`; none is lower by more than `gap`, but for rounding."""
    return minimum_by_cells(net, curvature(net, tuple(lower.shape[1:]), row.numpy()), lower, upper, row, gap)


def minimum_by_cells(net: nn.Module, bend: float, lower: Tensor, upper: Tensor, row: Tensor, gap: float = 1e-4) -> float:
    """The same of any network; bend: a bound of the second derivative of row · net along directions of length 1."""
    shape, half = tuple(lower.shape[1:]), (upper - lower) / 2
    count = half.numel()
    corners = torch.tensor(list(product((-0.5, 0.5), repeat=count)), dtype=lower.dtype).reshape(-1, *shape)
    centers, best = (lower + upper) / 2, float("inf")
    while len(centers):
        if len(centers) > MOST:
            raise RuntimeError(f"{len(centers)} cells are open: the network is too curved for this oracle")
        leaf = centers.clone().requires_grad_()
        values = net(leaf) @ row
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        best = min(best, float(values.detach().min()))
        floor = values.detach() - (gradient.abs() * half).flatten(1).sum(1) - bend * float(half.max()) ** 2 / 2
        open_ = centers[floor < best - gap]
        centers, half = (open_[:, None] + corners * half).flatten(0, 1), half / 2
    return best
