"""mean(x) over axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register
from ballproof.operations.sum import spread


@register
@dataclass(frozen=True)
class Mean(Affine):
    """The mean over `axes` (the batch is axis 0 and stays)."""

    axes: tuple[int, ...]
    keepdim: bool = False
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].mean(self.axes, self.keepdim)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        count = torch.Size([shapes[0][a - 1] for a in self.axes]).numel()
        return (spread(cotangent / count, self.axes, shapes[0]),)
