"""Batch normalisation with given statistics: an affine function of each channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.operations.base import Role, Shape
from ballproof.operations.elementwise import Elementwise
from ballproof.operations.registry import register
from ballproof.operations.window import Window


@register
@dataclass(frozen=True)
class BatchNorm(Elementwise):
    """(x - mean) / sqrt(variance + eps) * weight + bias on the channels, axis 1; differentiable in all five.

    momentum is how a training step moves the running statistics; the forward does not use it.
    """

    eps: float = 1e-5
    momentum: float | None = 0.1

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a parameter")
        return Role.AFFINE

    def scale(self, weight: Tensor, variance: Tensor) -> Tensor:
        return weight * torch.rsqrt(variance + self.eps)

    def forward(self, *inputs: Tensor) -> Tensor:
        x, weight, bias, mean, variance = inputs
        scale = self.scale(weight, variance)
        return x * _across(scale, x.ndim) + _across(bias - mean * scale, x.ndim)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        _, weight, _, _, variance = arguments
        assert weight is not None and variance is not None
        return cotangent * _across(self.scale(weight, variance), cotangent.ndim), None, None, None, None

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor:
        _, weight, bias, mean, variance = arguments
        assert weight is not None and bias is not None and mean is not None and variance is not None
        term = bias - mean * self.scale(weight, variance)
        return _across(term, len(shapes[0]) + 1).expand(1, *shapes[0])

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        return window if len(shapes[0]) == 3 else None

    def pull_window(self, cotangent: Tensor, arguments: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        return self.pull_back(cotangent, arguments, ())


def _across(value: Tensor, axes: int) -> Tensor:
    """A value for each channel, shaped to meet `(batch, channels, ...)`."""
    return value.reshape(1, -1, *(1 for _ in range(axes - 2)))
