"""sum(x) over axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Sum(Affine):
    """The sum over `axes` (the batch is axis 0 and stays)."""

    axes: tuple[int, ...]
    keepdim: bool = False
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].sum(self.axes, self.keepdim)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        return (spread(cotangent, self.axes, shapes[0]),)


def spread(cotangent: Tensor, axes: tuple[int, ...], shape: Shape) -> Tensor:
    """A cotangent `(n, *reduced)` repeated along the axes that were summed, `(n, *shape)`."""
    kept = [1 if i + 1 in axes else n for i, n in enumerate(shape)]
    return cotangent.reshape(cotangent.shape[0], *kept).expand(-1, *shape)
