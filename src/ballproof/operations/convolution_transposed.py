"""The transposed convolution in one, two or three dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ballproof.operations.base import Affine, Argument, Role, Shape
from ballproof.operations.convolution import BACKWARD, FORWARD
from ballproof.operations.registry import register
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class ConvolutionTransposed(Affine):
    """The transpose of a convolution, with a constant weight `(in, out / groups, *kernel)` and an optional constant bias."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a weight")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        x, weight, *bias = inputs
        call = BACKWARD[len(self.stride) - 1]
        given = bias[0] if bias else None
        return call(x, weight, given, self.stride, self.padding, self.output_padding, self.groups, self.dilation)

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
        call = FORWARD[len(self.stride) - 1]
        pulled = call(cotangent, weight, None, self.stride, self.padding, self.dilation, self.groups)
        for axis, size in enumerate(shapes[0][1:], 2):
            pulled = pulled.narrow(axis, 0, size)
        return (pulled, *(None for _ in arguments[1:]))

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor | None:
        return None if len(arguments) == 2 else super().constant_term(arguments, shapes)
