"""convolution(x, weight, bias) in one, two or three dimensions, with zero padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.base import Affine, Argument, Role, Shape
from ballproof.operations.registry import register
from ballproof.operations.window import Window
from ballproof.values import Interval

FORWARD = (F.conv1d, F.conv2d, F.conv3d)
BACKWARD = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@register
@dataclass(frozen=True)
class Convolution(Affine):
    """Cross-correlation with a constant weight `(out, in / groups, *kernel)` and an optional constant bias `(out,)`.

    Settings as in torch, one number for each spatial axis; padding is symmetric and with zeros (other paddings are a
    `Pad` before it).
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a weight")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        x, weight, *bias = inputs
        call = FORWARD[len(self.stride) - 1]
        return call(x, weight, bias[0] if bias else None, self.stride, self.padding, self.dilation, self.groups)

    def interval(self, *inputs: Argument) -> Interval:
        x, weight, *bias = inputs
        assert isinstance(x, Interval) and isinstance(weight, Tensor)
        center = self.forward(x.center, weight, *bias)  # type: ignore[arg-type]
        radius = self.forward(x.radius, weight.abs())
        return Interval(center - radius, center + radius)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        weight = arguments[1]
        assert weight is not None
        reached = zip(cotangent.shape[2:], weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        natural = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in reached]
        rest = [n - m for n, m in zip(shapes[0][1:], natural, strict=True)]
        call = BACKWARD[len(self.stride) - 1]
        pulled = call(cotangent, weight, None, self.stride, self.padding, rest, self.groups, self.dilation)
        return (pulled, *(None for _ in arguments[1:]))

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor | None:
        if len(arguments) == 2:
            return None
        _, weight, bias = arguments
        assert weight is not None and bias is not None
        sizes = zip(shapes[0][1:], weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        output = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
        return bias.reshape(1, -1, *(1 for _ in output)).expand(1, -1, *output)

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        if len(self.stride) != 2 or self.groups != 1:
            return None
        reach = tuple((k - 1) * d + 1 for k, d in zip(shapes[1][2:], self.dilation, strict=True))
        return window.through(shapes[0][0], reach, self.stride, self.padding)  # type: ignore[arg-type]

    def window_matrix(self, window: Window, arguments: tuple[Tensor | None, ...]) -> Tensor:
        weight = arguments[1]
        assert weight is not None
        cells = torch.eye(window.count, dtype=weight.dtype, device=weight.device)
        maps = cells.reshape(window.count, window.channels, *window.size)
        return F.conv_transpose2d(maps, weight, None, self.stride, 0, 0, 1, self.dilation).flatten(1)
