"""slice(x): a part of an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Slice(Affine):
    """The places start, start + step, ... before stop of `axis` (the batch is axis 0)."""

    axis: int
    start: int
    stop: int
    step: int = 1
    coordinatewise: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0][self._index()]

    def _index(self) -> tuple[slice, ...]:
        return (*(slice(None) for _ in range(self.axis)), slice(self.start, self.stop, self.step))

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        pulled = cotangent.new_zeros(cotangent.shape[0], *shapes[0])
        pulled[self._index()] = cotangent
        return (pulled,)
