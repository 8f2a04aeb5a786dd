"""gather(x, index): chosen places of an axis, in any order and as often as wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ballproof.operations.base import Affine, Role, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Gather(Affine):
    """The places `index` (a constant 1-d integer tensor, >= 0) of `axis` (the batch is axis 0)."""

    axis: int
    nonnegative: ClassVar[bool] = True

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        self.only_first(varies, "an index")
        return Role.AFFINE

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].index_select(self.axis, inputs[1])

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        index = arguments[1]
        assert index is not None
        return cotangent.new_zeros(cotangent.shape[0], *shapes[0]).index_add(self.axis, index, cotangent), None

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> None:
        return None
