"""`Box`: an interval for each coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.boxlike import Boxlike
from ballproof.problems.checks import Index, floating, rows
from ballproof.values import Interval


@dataclass(frozen=True, eq=False, repr=False)
class Box(Boxlike):
    """All x with lower <= x <= upper, `(batch, *input)` each, in the units of the model's input. Empty is refused."""

    lower: Tensor
    upper: Tensor
    norm: ClassVar[str] = "box"

    def __post_init__(self) -> None:
        floating("lower", self.lower)
        floating("upper", self.upper)
        kinds = [(tuple(end.shape), end.dtype, str(end.device)) for end in (self.lower, self.upper)]
        if kinds[0] != kinds[1]:
            raise InputError(f"`lower` is {kinds[0]}, `upper` is {kinds[1]}, expected one shape, type and device")
        gap = (self.lower - self.upper).detach().flatten(1)
        if gap.numel() and float(gap.max()) > 0:
            at = int(gap.amax(1).argmax())
            raise InputError(f"`lower` exceeds `upper` by {float(gap.max()):.6g} in example {at}: an empty box")

    def __repr__(self) -> str:
        return f"Box(batch={self.batch}, input={self.shape})"

    @property
    def like(self) -> Tensor:
        return self.lower

    def __getitem__(self, index: Index) -> Self:
        return type(self)(self.lower[rows(index)], self.upper[rows(index)])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        return type(self)(self.lower.to(device=device, dtype=dtype), self.upper.to(device=device, dtype=dtype))

    def box(self) -> Interval:
        return Interval(self.lower, self.upper)
