"""average_pool(x): means (or sums) over windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Affine
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class AveragePool(Affine):
    """Means over windows in one, two or three dimensions, as in torch; `divisor` replaces the count (1 for sums)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor: int | None = None
    nonnegative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.divisor is not None and self.divisor < 1:
            raise UnsupportedError(f"AveragePool with divisor {self.divisor}; supported: None or an int >= 1")

    def forward(self, *inputs: Tensor) -> Tensor:
        settings = (self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        if len(self.kernel) == 1:
            scale = 1.0 if self.divisor is None else self.kernel[0] / self.divisor
            included = self.divisor is not None or self.count_include_pad
            return F.avg_pool1d(inputs[0], *settings[:4], included) * scale
        call = F.avg_pool2d if len(self.kernel) == 2 else F.avg_pool3d
        return call(inputs[0], *settings, self.divisor)
