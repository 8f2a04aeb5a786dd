"""reshape(x): the same numbers in another shape; also flatten, view, squeeze and unsqueeze."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ballproof.operations.base import Affine, Rule, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Reshape(Affine):
    """Each example in the shape `shape`, row-major."""

    shape: tuple[int, ...]
    coordinatewise: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].reshape(inputs[0].shape[0], *self.shape)

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        return lambda x: x.reshape(2, -1, *self.shape)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        return (cotangent.reshape(cotangent.shape[0], *shapes[0]),)
