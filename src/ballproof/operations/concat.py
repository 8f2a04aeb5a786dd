"""concat(...): branches one after another along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class Concat(Affine):
    """The arguments along `axis` (the batch is axis 0); constants stand in every example, with a batch axis of 1 or none."""

    axis: int
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        axes = max(i.ndim for i in inputs)
        batch = max(i.shape[0] for i in inputs if i.ndim == axes)
        full = [i if i.ndim == axes else i.unsqueeze(0) for i in inputs]
        return torch.cat([i.expand(batch, *i.shape[1:]) if i.shape[0] == 1 else i for i in full], self.axis)

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        axes, pulled, start = cotangent.ndim, [], 0
        for argument, shape in zip(arguments, shapes, strict=True):
            size = shape[self.axis - 1] if argument is None or len(shape) < axes else shape[self.axis]
            pulled.append(cotangent.narrow(self.axis, start, size) if argument is None else None)
            start += size
        return tuple(pulled)
