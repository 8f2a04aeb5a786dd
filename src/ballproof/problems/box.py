"""`Box`: an interval for each coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.boxlike import Boxlike
from ballproof.problems.checks import floating
from ballproof.values import Interval


@dataclass(frozen=True, eq=False)
class Box(Boxlike):
    """All x with lower <= x <= upper, `(batch, *input)` each. An empty box is refused."""

    lower: Tensor
    upper: Tensor
    norm: ClassVar[str] = "box"

    def __post_init__(self) -> None:
        floating("lower", self.lower)
        floating("upper", self.upper)
        if self.lower.shape != self.upper.shape or self.lower.dtype != self.upper.dtype:
            shapes = f"{tuple(self.lower.shape)} and {tuple(self.upper.shape)}"
            raise InputError(f"`lower` and `upper` are {shapes}, expected one shape and one floating type")
        empty = (self.lower > self.upper).flatten(1).any(1)
        if bool(empty.any()):
            raise InputError(f"`lower` exceeds `upper` in example {int(empty.nonzero()[0])}: an empty box")

    @property
    def like(self) -> Tensor:
        return self.lower

    def __getitem__(self, index: list[int] | Tensor | slice) -> Self:
        return type(self)(self.lower[index], self.upper[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        return type(self)(self.lower.to(device=device, dtype=dtype), self.upper.to(device=device, dtype=dtype))

    def box(self) -> Interval:
        return Interval(self.lower, self.upper)
