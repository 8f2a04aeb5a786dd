"""linear(x, weight, bias) = x weight' + bias on the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.base import Affine, Argument, Role, Rule, Shape
from ballproof.operations.pairs import both_biases, both_weights, signs, turned
from ballproof.operations.registry import register
from ballproof.values import Interval


@register
@dataclass(frozen=True)
class Linear(Affine):
    """A matrix product with a constant weight `(out, in)` and an optional constant bias `(out,)`."""

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a weight")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.linear(*inputs)

    def interval(self, *inputs: Argument) -> Interval:
        x, weight, *bias = inputs
        assert isinstance(x, Interval) and isinstance(weight, Tensor)
        half = x.radius
        center = F.linear(x.lower + half, weight, *bias)  # type: ignore[arg-type]
        radius = F.linear(half, weight.abs())
        return Interval(center - radius, center + radius)

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        _, weight, *bias = arguments
        assert weight is not None
        sign = signs(weight, 3)
        both = both_weights(weight).transpose(1, 2).contiguous()
        shift = both_biases(bias, weight).unsqueeze(1)

        def ends(x: Tensor) -> Tensor:
            lower, upper = (x if x.ndim == 3 else x.flatten(1, -2)).unbind()
            radius, center = torch.baddbmm(shift, turned(lower, upper, sign), both).unbind()
            found = turned(radius, center, sign)
            return found if x.ndim == 3 else found.unflatten(1, x.shape[1:-1])

        return ends

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        weight = arguments[1]
        assert weight is not None
        return (cotangent @ weight, *(None for _ in arguments[1:]))

    def pull_queries(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[tuple[Tensor | None, ...], Tensor | float]:
        if cotangent.ndim != 3:
            return super().pull_queries(cotangent, arguments, shapes)
        _, weight, *bias = arguments
        assert weight is not None
        added = cotangent @ bias[0] if bias and bias[0] is not None else 0.0
        return (cotangent @ weight, *(None for _ in arguments[1:])), added

    def rows(
        self, index: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...], output: Shape, like: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight = arguments[1]
        if len(output) != 1 or weight is None:
            return super().rows(index, arguments, shapes, output, like)
        return (weight.index_select(0, index), *(None for _ in arguments[1:]))

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor | None:
        if len(arguments) == 2 or arguments[2] is None:
            return None
        return arguments[2].expand(1, *shapes[0][:-1], -1)
