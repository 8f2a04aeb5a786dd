"""adaptive_average_pool(x): means over as many windows as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.base import Affine
from ballproof.operations.registry import register


@register
@dataclass(frozen=True)
class AdaptiveAveragePool(Affine):
    """Means over windows chosen as torch chooses them, so that the map gets the size `output_size`."""

    output_size: tuple[int, ...]
    nonnegative: ClassVar[bool] = True

    def forward(self, *inputs: Tensor) -> Tensor:
        call = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[len(self.output_size) - 1]
        return call(inputs[0], self.output_size)  # type: ignore[arg-type]
