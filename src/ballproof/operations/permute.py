"""permute(x): the axes in another order; also transpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Permute(Affine):
    """The axes in the order `axes`, counted with the batch as axis 0, which stays where it is."""

    axes: tuple[int, ...]
    coordinatewise: ClassVar[bool] = True
    nonnegative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.axes[:1] != (0,) or sorted(self.axes) != list(range(len(self.axes))):
            raise UnsupportedError(f"Permute with axes {self.axes}; supported: an order of all axes with the batch first")

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].permute(self.axes)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        back = [self.axes.index(i) for i in range(len(self.axes))]
        return (cotangent.permute(back),)
