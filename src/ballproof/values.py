"""The values that bounds are made of: `Interval`, `Line`, `Relaxation`. Frozen, and without any knowledge of networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.errors import SoundnessError


@dataclass(frozen=True)
class Interval:
    """Every value lies in `[lower, upper]`, coordinate by coordinate. Both have the same shape."""

    lower: Tensor
    upper: Tensor

    @staticmethod
    def point(value: Tensor) -> Interval:
        """The interval that holds just `value`."""
        return Interval(value, value)

    @property
    def center(self) -> Tensor:
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        return (self.upper - self.lower) / 2

    @property
    def width(self) -> Tensor:
        return self.upper - self.lower

    def __getitem__(self, index: object) -> Interval:
        return Interval(self.lower[index], self.upper[index])  # type: ignore[index]

    def checked(self, where: str) -> Interval:
        """This interval; raises `SoundnessError` naming `where` if an end is NaN or the ends have crossed."""
        if bool((self.lower <= self.upper).all()):
            return self
        if bool(torch.isnan(self.lower).any() | torch.isnan(self.upper).any()):
            raise SoundnessError(f"a bound at `{where}` is NaN; are the weights and the inputs finite?")
        gap = (self.lower - self.upper).max().item()
        raise SoundnessError(f"the lower bound at `{where}` exceeds the upper bound by {gap:.3g}: an empty box, or a bug")

    def intersect(self, other: Interval, where: str) -> Interval:
        """Encloses every value that both intervals enclose.

        Ends that cross by no more than rounding are swapped, which only widens: 1e-4 of the size of the numbers in float32,
        1e-9 in float64, where a number counts for at least a tenth of the largest one, as sums cancel. Ends that cross further
        raise `SoundnessError`: the two cannot both be right.
        """
        lower, upper = torch.maximum(self.lower, other.lower), torch.minimum(self.upper, other.upper)
        crossed = lower - upper
        if bool((crossed > 0).any()):
            size = torch.maximum(lower.abs(), upper.abs())
            size = size.clamp(min=0.1 * float(size.detach().amax())) + self.width + other.width + 1e-6
            tolerance = 1e-9 if lower.dtype == torch.float64 else 1e-4
            if bool((crossed > tolerance * size).any()):
                raise SoundnessError(f"two proven intervals at `{where}` do not meet: gap {crossed.max().item():.3g}")
            lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
        return Interval(lower, upper)


@dataclass(frozen=True)
class Line:
    """The function `sum_i slopes[i] * x_i + offset` of an operation's varying inputs, batched.

    Each slope has the shape of its input, `(batch, *input)` (max pooling: of its windows); `offset` has the shape of the
    output.
    """

    slopes: tuple[Tensor, ...]
    offset: Tensor


@dataclass(frozen=True)
class Relaxation:
    """`lower(x) <= f(x) <= upper(x)` for every x in the intervals that the relaxation was made for.

    `parallel` says that both lines share their slopes, so that one pull-back serves the lower and the upper bound.
    """

    lower: Line
    upper: Line
    parallel: bool = False
