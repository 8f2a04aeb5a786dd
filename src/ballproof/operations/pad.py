"""pad(x): more places at the ends of the axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Affine, Shape
from ballproof.operations.registry import register

MODES = ("constant", "reflect", "replicate", "circular")


@register
@dataclass(frozen=True)
class Pad(Affine):
    """`widths` holds a (before, after) pair for each axis but the batch; `value` fills the mode `constant`."""

    widths: tuple[tuple[int, int], ...]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: float = 0.0
    nonnegative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UnsupportedError(f"Pad with mode {self.mode!r}; supported: {', '.join(MODES)}")

    def forward(self, *inputs: Tensor) -> Tensor:
        widths = list(self.widths)
        while self.mode != "constant" and len(widths) > 1 and widths[0] == (0, 0):
            widths.pop(0)
        flat = [w for pair in reversed(widths) for w in pair]
        if self.mode == "constant":
            return F.pad(inputs[0], flat, value=self.value)
        return F.pad(inputs[0], flat, mode=self.mode)

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor | None:
        if self.mode != "constant" or self.value == 0:
            return None
        return self.forward(torch.zeros((1, *shapes[0]), dtype=torch.float64))
