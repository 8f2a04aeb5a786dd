"""What coordinatewise affine operations share: broadcasting summed back, ends swapped by sign, windows kept."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Affine, Argument, Shape
from ballproof.values import Interval


class Elementwise(Affine):
    """Affine, coordinate by coordinate, in one varying argument; broadcasts like torch."""

    coordinatewise: ClassVar[bool] = True

    def interval(self, *inputs: Argument) -> Interval:
        """Exact when one argument varies: each coordinate is monotone, so its ends are ends of the argument."""
        first = self.forward(*(i.lower if isinstance(i, Interval) else i for i in inputs))
        second = self.forward(*(i.upper if isinstance(i, Interval) else i for i in inputs))
        return Interval(torch.minimum(first, second), torch.maximum(first, second))


def reduce_to(cotangent: Tensor, shape: Shape) -> Tensor:
    """A cotangent `(n, *output)` summed over the axes along which an argument `(n, *shape)` was broadcast."""
    if tuple(cotangent.shape[1:]) == tuple(shape):
        return cotangent
    extra = cotangent.ndim - 1 - len(shape)
    axes = [*range(1, 1 + extra)]
    axes += [i + 1 + extra for i, n in enumerate(shape) if n == 1 and cotangent.shape[i + 1 + extra] != 1]
    return cotangent.sum(axes, keepdim=True).reshape(cotangent.shape[0], *shape) if axes else cotangent


def per_channel(constant: Tensor, channels: int) -> Tensor | None:
    """The value for each channel of a map, `(channels,)`, if the constant is the same in every cell; else None."""
    if constant.numel() == 1:
        return constant.reshape(1).expand(channels)
    shape = tuple(constant.shape)
    shape = shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
    return constant.reshape(channels) if shape == (channels, 1, 1) else None
