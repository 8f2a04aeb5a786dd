"""Small networks of branches that meet in products and softmax, with bounds of their second derivatives.

A jet bounds a value and its first and second derivative along every direction of length 1 (L-infinity) on a box. Of a softmax p
of z with |z'| <= D and |z''| <= E: p_k' = p_k (1 - p_k) (z_k' - mean of the others'), so |p'| <= D / 2; and
p_k'' = p_k' (z_k' - m) + p_k (z_k'' - m'), m the mean of z' by p, m' that of z'' and the variance of z', so that
|p''| <= (16/27 + 1) D^2 + E / 2. Of log sum exp the derivatives are at most D and D^2 + E.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Jet:
    size: Array
    first: Array
    second: Array

    def linear(self, layer: nn.Linear) -> Jet:
        weight, bias = np.abs(layer.weight.detach().numpy()), np.abs(layer.bias.detach().numpy())
        return Jet(weight @ self.size + bias, weight @ self.first, weight @ self.second)

    def bent(self, slope: float, bend: float) -> Jet:
        """Of a function with values in [-1, 1], by its largest derivatives."""
        return Jet(np.ones_like(self.size), slope * self.first, bend * self.first**2 + slope * self.second)

    def shaped(self, *shape: int) -> Jet:
        return Jet(*(v.reshape(shape) for v in (self.size, self.first, self.second)))

    def by(self, other: Jet, product: Callable[[Array, Array], Array]) -> Jet:
        """By Leibniz; product: any that is linear in both and grows with them."""
        first = product(self.size, other.first) + product(self.first, other.size)
        twice = product(self.size, other.second) + 2 * product(self.first, other.first) + product(self.second, other.size)
        return Jet(product(self.size, other.size), first, twice)

    def softmax(self) -> Jet:
        """Along the last axis."""
        first, second = (np.broadcast_to(v.max(-1, keepdims=True), v.shape) for v in (self.first, self.second))
        return Jet(np.ones_like(first), first / 2, (16 / 27 + 1) * first**2 + second / 2)

    def log_sum_exp(self) -> Jet:
        first, second = (v.max(-1) for v in (self.first, self.second))
        return Jet(self.size.max(-1) + np.log(self.size.shape[-1]), first, first**2 + second)


SIGMOID, TANH = (0.25, 0.0963), (1.0, 0.7699)


class Branches(nn.Module):
    """Two linear maps of the input that meet in some way, and a linear map of what comes out."""

    def __init__(self, kind: str, inputs: int) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = nn.Linear(inputs, 6), nn.Linear(inputs, 6)
        self.last = nn.Linear({"product": 6, "bilinear": 6, "log sum exp": 2, "softmax": 6}.get(kind, 4), 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.first(x), self.second(x)
        if self.kind == "bilinear":
            return self.last(a * b)
        if self.kind == "product":
            return self.last(torch.sigmoid(a) * torch.tanh(b))
        if self.kind == "matrices":
            return self.last((torch.tanh(a).reshape(-1, 2, 3) @ torch.sigmoid(b).reshape(-1, 3, 2)).flatten(1))
        if self.kind == "softmax":
            return self.last(torch.softmax(a, 1))
        if self.kind == "log sum exp":
            return self.last(torch.logsumexp(a.reshape(-1, 2, 3), 2))
        weights = torch.softmax(a.reshape(-1, 2, 3), 2)
        return self.last((weights @ torch.tanh(b).reshape(-1, 3, 2)).flatten(1))

    def curvature(self, size: Array, row: Array) -> float:
        """Of row · output on boxes whose inputs are at most `size`."""
        x = Jet(size, np.ones_like(size), np.zeros_like(size))
        a, b = x.linear(self.first), x.linear(self.second)
        met = {
            "bilinear": lambda: a.by(b, np.multiply),
            "product": lambda: a.bent(*SIGMOID).by(b.bent(*TANH), np.multiply),
            "matrices": lambda: a.bent(*TANH).shaped(2, 3).by(b.bent(*SIGMOID).shaped(3, 2), np.matmul),
            "softmax": a.softmax,
            "log sum exp": lambda: a.shaped(2, 3).log_sum_exp(),
            "attention": lambda: a.shaped(2, 3).softmax().by(b.bent(*TANH).shaped(3, 2), np.matmul),
        }[self.kind]()
        return float(np.abs(row) @ met.shaped(-1).linear(self.last).second)


BRANCHES = "product", "bilinear", "matrices", "softmax", "log sum exp", "attention"
