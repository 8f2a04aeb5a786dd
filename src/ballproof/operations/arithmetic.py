"""Sums, differences, negation, and products and quotients by constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Affine, Argument, Role, Shape
from ballproof.operations.elementwise import Elementwise, per_channel, reduce_to
from ballproof.operations.registry import register
from ballproof.operations.window import Window
from ballproof.values import Interval

Arguments = tuple[Tensor | None, ...]


class Sum2(Elementwise):
    """The common part of a sum and a difference of two arguments, of which one or both vary."""

    signs: ClassVar[tuple[int, int]]

    def pull_back(self, cotangent: Tensor, arguments: Arguments, shapes: tuple[Shape, ...]) -> Arguments:
        signed = (cotangent if s > 0 else -cotangent for s in self.signs)
        return tuple(reduce_to(c, s) if a is None else None for c, a, s in zip(signed, arguments, shapes, strict=True))

    def constant_term(self, arguments: Arguments, shapes: tuple[Shape, ...]) -> Tensor | None:
        constant = next((a for a in arguments if a is not None), None)
        return None if constant is None else super().constant_term(arguments, shapes)

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        varying = max(shapes, key=lambda s: torch.Size(s).numel())
        return window if len(varying) == 3 and varying[0] == window.channels else None

    def pull_window(self, cotangent: Tensor, arguments: Arguments) -> Arguments:
        signed = (cotangent if s > 0 else -cotangent for s in self.signs)
        return tuple(c if a is None else None for c, a in zip(signed, arguments, strict=True))


@register
@dataclass(frozen=True)
class Add(Sum2):
    """a + b; either or both may vary."""

    nonnegative: ClassVar[bool] = True
    signs: ClassVar[tuple[int, int]] = (1, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] + inputs[1]

    def interval(self, *inputs: Argument) -> Interval:
        return Affine.interval(self, *inputs)


@register
@dataclass(frozen=True)
class Subtract(Sum2):
    """a - b; either or both may vary."""

    signs: ClassVar[tuple[int, int]] = (1, -1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] - inputs[1]

    def interval(self, *inputs: Argument) -> Interval:
        a, b = (i if isinstance(i, Interval) else Interval.point(i) for i in inputs)
        return Interval(a.lower - b.upper, a.upper - b.lower)


@register
@dataclass(frozen=True)
class Negate(Elementwise):
    """-x."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return -inputs[0]

    def pull_back(self, cotangent: Tensor, arguments: Arguments, shapes: tuple[Shape, ...]) -> Arguments:
        return (-cotangent,)


@register
@dataclass(frozen=True)
class Multiply(Elementwise):
    """a * b, of which at most one varies."""

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        if all(varies):
            raise UnsupportedError("a product of two values that both depend on the input; supported: by a constant")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] * inputs[1]

    def pull_back(self, cotangent: Tensor, arguments: Arguments, shapes: tuple[Shape, ...]) -> Arguments:
        constant = _constant(arguments)
        return tuple(reduce_to(cotangent * constant, s) if a is None else None for a, s in zip(arguments, shapes, strict=True))

    def constant_term(self, arguments: Arguments, shapes: tuple[Shape, ...]) -> None:
        return None

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        return _channelwise(window, shapes)

    def pull_window(self, cotangent: Tensor, arguments: Arguments) -> Arguments:
        scale = per_channel(_constant(arguments), cotangent.shape[1])
        assert scale is not None
        pulled = cotangent * scale.reshape(-1, 1, 1)
        return tuple(pulled if a is None else None for a in arguments)


@register
@dataclass(frozen=True)
class Divide(Elementwise):
    """x / constant."""

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "a denominator")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] / inputs[1]

    def pull_back(self, cotangent: Tensor, arguments: Arguments, shapes: tuple[Shape, ...]) -> Arguments:
        return reduce_to(cotangent / _constant(arguments), shapes[0]), None

    def constant_term(self, arguments: Arguments, shapes: tuple[Shape, ...]) -> None:
        return None

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        return _channelwise(window, shapes)

    def pull_window(self, cotangent: Tensor, arguments: Arguments) -> Arguments:
        scale = per_channel(_constant(arguments), cotangent.shape[1])
        assert scale is not None
        pulled = cotangent / scale.reshape(-1, 1, 1)
        return tuple(pulled if a is None else None for a in arguments)


def _constant(arguments: Arguments) -> Tensor:
    return next(a for a in arguments if a is not None)


def _channelwise(window: Window, shapes: tuple[Shape, ...]) -> Window | None:
    """The same window, if one argument is a map and the other has one value for each channel."""
    for x, constant in (shapes, shapes[::-1]):
        probe = torch.empty(constant, device="meta")
        if len(x) == 3 and x[0] == window.channels and per_channel(probe, x[0]) is not None:
            return window
    return None
