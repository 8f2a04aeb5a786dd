"""Two ends of an interval, or its radius and center, in one tensor: what affine rules with weights built in are made of.

An affine layer takes the center by its weights W and the radius by |W|. From ends (l, u) to twice radius and center, and from
radius and center (r, c) to ends, leads the same step: (a, b) -> (b - a, b + a). The weights are halved, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def signs(like: Tensor, axes: int) -> Tensor:
    """(-1, 1) on the first of so many axes, of the type and on the device of `like`."""
    return like.new_tensor([-1.0, 1.0]).reshape(2, *(1 for _ in range(axes - 1)))


def turned(first: Tensor, second: Tensor, sign: Tensor) -> Tensor:
    """`second - first` and `second + first` along the axis of `sign`, each rounded once."""
    return torch.addcmul(second, sign, first)


def both_weights(weight: Tensor) -> Tensor:
    """Half of |weight| and half of the weight, `(2, *weight)`, in tensors of their own."""
    return torch.stack([weight.abs(), weight]) / 2


def both_biases(bias: Sequence[Tensor | None], weight: Tensor) -> Tensor:
    """Zeros for the radius, the bias (zeros where there is none) for the center, `(2, out)`."""
    zeros = weight.new_zeros(len(weight))
    given = bias[0] if bias else None
    return torch.stack([zeros, zeros if given is None else given])
