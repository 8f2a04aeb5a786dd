"""A transposed convolution onto few channels, tap by tap: libraries are slow at it on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

FEW = 4
"""Up to so many channels it was 1.4 to 3.4 times faster than the library's, on 2 cores in float32."""

Pair = tuple[int, ...]


def pays(cotangent: Tensor, weight: Tensor, stride: Pair, groups: int) -> bool:
    """Whether to go tap by tap: on a CPU, few channels (one where there is a stride) and no groups."""
    few = weight.shape[1] <= (FEW if max(stride) == 1 else 1)
    return cotangent.device.type == "cpu" and cotangent.ndim == 4 and few and groups == 1


def transposed(cotangent: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, size: Pair) -> Tensor:
    """The transposed convolution of `cotangent (n, out, *cells)` with `weight (out, in, *kernel)`, `(n, in, *size)`.

    Differentiable in both.
    """
    found: Tensor = _Transposed.apply(cotangent, weight, stride, padding, dilation, size)
    return found


class _Transposed(torch.autograd.Function):
    """Its transpose is the convolution."""

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, size: Pair) -> Tensor:
        ctx.save_for_backward(cotangent, weight)
        ctx.settings = (stride, padding, dilation)
        return _by_taps(cotangent, weight, stride, padding, dilation, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (cotangent, weight), (stride, padding, dilation) = ctx.saved_tensors, ctx.settings
        wanted, (gradient,) = ctx.needs_input_grad, gradients
        own = F.conv2d(gradient, weight, None, stride, padding, dilation) if wanted[0] else None
        kernel = conv2d_weight(gradient, weight.shape, cotangent, stride, padding, dilation) if wanted[1] else None
        return own, kernel, None, None, None, None


def _by_taps(cotangent: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair, size: Pair) -> Tensor:
    """One matrix product makes what every cell sends through every tap of the kernel; each tap is added where it goes."""
    n, out, high, wide = cotangent.shape
    channels, *kernel = weight.shape[1:]
    rows = cotangent.permute(0, 2, 3, 1).reshape(-1, out)
    sent = (weight.permute(2, 3, 1, 0).reshape(-1, out) @ rows.T).reshape(*kernel, channels, n, high, wide)
    sizes = zip(padding, size, (high, wide), stride, kernel, dilation, strict=True)
    reach = [max(p + m, (c - 1) * s + (k - 1) * d + 1) for p, m, c, s, k, d in sizes]
    whole = cotangent.new_zeros(channels, n, *reach)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            place = whole[:, :, top : top + (high - 1) * stride[0] + 1 : stride[0]]
            place[..., left : left + (wide - 1) * stride[1] + 1 : stride[1]] += sent[i, j]
    return whole[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]].transpose(0, 1)
