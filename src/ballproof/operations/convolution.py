"""convolution(x, weight, bias) in one, two or three dimensions, with zero padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations import phases, taps
from ballproof.operations.base import Affine, Argument, Role, Rule, Shape
from ballproof.operations.pairs import both_biases, both_weights, signs, turned
from ballproof.operations.phases import Apart
from ballproof.operations.registry import register
from ballproof.operations.window import Window
from ballproof.values import Interval

FORWARD = (F.conv1d, F.conv2d, F.conv3d)
BACKWARD = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)

FEW = 2
"""Windows for each of their coefficients from which on the matrix is worth making."""

WASTE = ((2, 20.0), (8, 5.0), (31, 3.0), (2**31, 1.0))
"""For so many channels of the input at most, so many times more multiplications; measured on one core: 3 against 33 ms for
4,000 windows of 16 x 4 x 4 onto one channel, 6 against 11 ms for 16 x 3 x 3 onto 16, but 129 against 54 ms onto 32."""


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
        half = x.radius
        center = self.forward(x.lower + half, weight, *bias)  # type: ignore[arg-type]
        radius = self.forward(half, weight.abs())
        return Interval(center - radius, center + radius)

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        """Radius and center are groups of channels of one call, channels last on maps: often as fast as one alone."""
        _, weight, *bias = arguments
        assert weight is not None
        both, shift = both_weights(weight).flatten(0, 1), both_biases(bias, weight).flatten()
        order = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
        both = both.contiguous(memory_format=order)
        sign, call = signs(weight, weight.ndim + 1), FORWARD[len(self.stride) - 1]

        def ends(x: Tensor) -> Tensor:
            lower, upper = x.unbind()
            doubled = torch.cat([upper - lower, upper + lower], 1).contiguous(memory_format=order)
            found = call(doubled, both, shift, self.stride, self.padding, self.dilation, 2 * self.groups)
            radius, center = found.chunk(2, 1)
            return turned(radius, center, sign)

        return ends

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        weight = arguments[1]
        assert weight is not None
        reached = zip(cotangent.shape[2:], weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        natural = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in reached]
        rest = [n - m for n, m in zip(shapes[0][1:], natural, strict=True)]
        call = BACKWARD[len(self.stride) - 1]
        if taps.pays(cotangent, weight, self.stride, self.groups):
            pulled = taps.transposed(cotangent, weight, self.stride, self.padding, self.dilation, shapes[0][1:])
            return (pulled, *(None for _ in arguments[1:]))
        if phases.pays(cotangent, weight, self.stride, self.dilation, self.groups):
            pulled = phases.transposed(cotangent, weight, self.stride, self.padding, shapes[0][1:])
            return (pulled, *(None for _ in arguments[1:]))
        if cotangent.ndim == 4:  # up to three times faster on a CPU than the other order of axes, and kept by what follows
            cotangent = cotangent.contiguous(memory_format=torch.channels_last)
            weight = weight.contiguous(memory_format=torch.channels_last)
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
        if len(self.stride) != 2:
            return None
        reach = tuple((k - 1) * d + 1 for k, d in zip(shapes[1][2:], self.dilation, strict=True))
        return window.through(shapes[0][0], reach, self.stride, self.padding)  # type: ignore[arg-type]

    def pull_window(self, cotangent: Tensor, arguments: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        weight = arguments[1]
        assert weight is not None
        rest = tuple(None for _ in arguments[1:])
        cotangent = cotangent.contiguous(memory_format=torch.channels_last)
        if self._by_matrix(cotangent, weight):
            return (self._with_matrix(cotangent, weight), *rest)
        sizes = zip(cotangent.shape[2:], self.stride, weight.shape[2:], self.dilation, strict=True)
        whole = tuple((n - 1) * s + (k - 1) * d + 1 for n, s, k, d in sizes)
        if taps.pays(cotangent, weight, self.stride, self.groups):
            return (taps.transposed(cotangent, weight, self.stride, (0, 0), self.dilation, whole), *rest)
        if phases.pays(cotangent, weight, self.stride, self.dilation, self.groups):
            return (phases.transposed(cotangent, weight, self.stride, (0, 0), whole), *rest)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return (F.conv_transpose2d(cotangent, weight, None, self.stride, 0, 0, self.groups, self.dilation), *rest)

    def apart(self, cotangent: Tensor, arguments: tuple[Tensor | None, ...]) -> Apart | None:
        weight = arguments[1]
        assert weight is not None
        if self._by_matrix(cotangent, weight) or taps.pays(cotangent, weight, self.stride, self.groups):
            return None
        pays = phases.pays(cotangent, weight, self.stride, self.dilation, self.groups)
        return Apart(weight, self.stride, self.padding) if pays else None

    def _by_matrix(self, cotangent: Tensor, weight: Tensor) -> bool:
        """Whether one matrix product is faster although most of its matrix is zero: libraries are slow for few channels."""
        if len(cotangent) < FEW * cotangent.shape[1:].numel():
            return False
        reached = [
            (n - 1) * s + (k - 1) * d + 1
            for n, s, k, d in zip(cotangent.shape[2:], self.stride, weight.shape[2:], self.dilation, strict=True)
        ]
        waste = reached[0] * reached[1] * self.groups / (weight.shape[2] * weight.shape[3])
        channels = weight.shape[1] * self.groups
        return waste <= next(limit for most, limit in WASTE if channels <= most)

    def _with_matrix(self, cotangent: Tensor, weight: Tensor) -> Tensor:
        matrix = self._matrix(cotangent.shape[2:], weight)
        rows = cotangent.permute(0, 2, 3, 1).reshape(len(cotangent), -1)
        pulled = rows @ matrix.reshape(rows.shape[1], -1)
        return pulled.reshape(-1, *matrix.shape[3:]).permute(0, 3, 1, 2)

    def _matrix(self, cells: tuple[int, ...], weight: Tensor) -> Tensor:
        """What each cell and channel of a window sends where: `(*cells, out, *reach, in)`."""
        steps = list(zip(self.stride, weight.shape[2:], self.dilation, strict=True))
        reach = [(n - 1) * s + (k - 1) * d + 1 for n, (s, k, d) in zip(cells, steps, strict=True)]
        inputs, outputs = weight.shape[1], len(weight) // self.groups
        matrix = weight.new_zeros(*cells, len(weight), *reach, inputs * self.groups)
        for g in range(self.groups):
            own, into = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
            kernel = weight[own].permute(0, 2, 3, 1)
            for cell in product(*(range(n) for n in cells)):
                down, across = (slice(c * s, c * s + (k - 1) * d + 1, d) for c, (s, k, d) in zip(cell, steps, strict=True))
                matrix[cell][own, down, across, into] = kernel
        return matrix
