"""What a region is: a batch of sets of inputs, each with an exact support function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.checks import Index
from ballproof.values import Interval

EXTREME = 0.25
"""The share of samples that are extreme points: enough that a dozen of draws holds some of either kind."""


class Region(ABC):
    """The inputs that the adversary may use, one convex set for each example; all in the units of the model's input.

    Laws, checked by the tests: every sample, projection and minimizer is contained (tolerance 0); `minimum` is the
    value at the minimizer, up to rounding, and not above the value at any sample; `box` is the smallest that contains
    the region; a sub-batch answers as the whole batch does; examples do not touch each other.
    """

    norm: ClassVar[str]

    @property
    @abstractmethod
    def like(self) -> Tensor:
        """A tensor `(batch, *input)` of the region's shape, type and device."""

    @property
    def batch(self) -> int:
        return self.like.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.like.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        return self.like.dtype

    @property
    def device(self) -> torch.device:
        return self.like.device

    @abstractmethod
    def __getitem__(self, index: Index) -> Self:
        """The same regions for some examples: a list, a slice, a tensor of numbers or a mask. One example: `[[i]]`."""

    @abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same regions elsewhere, or with their numbers rounded to another floating type."""

    @abstractmethod
    def box(self) -> Interval:
        """The smallest box round the region, `(batch, *input)`."""

    @abstractmethod
    def minimum(self, cotangent: Tensor) -> Tensor:
        """The exact minimum of `cotangent · x` over the region, `(batch, query)`, up to rounding.

        cotangent: `(batch or 1, query, *input)`; a batch axis of 1 is shared by all examples. Differentiable in the
        cotangent, and in the region's own numbers where they require it (a subgradient where two minimizers tie).
        """

    @abstractmethod
    def minimizer(self, cotangent: Tensor) -> Tensor:
        """A point of the region where the minimum is attained, `(batch, query, *input)`. No gradient is promised."""

    def extent(self, cotangent: Tensor) -> Interval:
        """The exact range of `cotangent · x` over the region, `(batch, query)`."""
        return Interval(self.minimum(cotangent), -self.minimum(-cotangent))

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the region in the Euclidean distance, `(batch, *input)`. No gradient is promised."""

    @abstractmethod
    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        """Which of `x (batch, *input)` lie in the region, up to `tolerance` in the region's own norm; `(batch,)`."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Random points, `(batch, *input)`: inside, on the boundary, and a quarter of the time an extreme point.

        generator: one of the CPU, so that the draws are the same on every device.
        """
        aim = torch.randn(self.batch, 1, *self.shape, generator=generator, dtype=self.dtype).to(self.device)
        pick = torch.rand(self.batch, generator=generator).to(self.device) < EXTREME
        points = self.draw(generator)
        return torch.where(across(pick, points), self.minimizer(aim).squeeze(1), points)

    @abstractmethod
    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Random points that spread over the region, `(batch, *input)`; `sample` adds the extreme ones."""

    @abstractmethod
    def step(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in the region's norm that ascends fastest, `(batch, *input)`; 0 for gradient 0."""


def across(value: Tensor, like: Tensor) -> Tensor:
    """A value for each example, `(batch,)`, shaped to meet `like (batch, *input)`."""
    return value.reshape(-1, *(1 for _ in like.shape[1:]))


def inner(cotangent: Tensor, x: Tensor) -> Tensor:
    """`(batch or 1, query, *input) · (batch, *input) -> (batch, query)`; one matrix product for a shared cotangent."""
    if cotangent.shape[2:] != x.shape[1:] or len(cotangent) not in (1, len(x)):
        expected = f"({len(x)} or 1, query, {', '.join(str(n) for n in x.shape[1:])})"
        raise InputError(f"`cotangent` has shape {tuple(cotangent.shape)}, expected {expected}")
    c, flat = cotangent.flatten(2), x.flatten(1)
    return flat @ c[0].T if len(c) == 1 else row_products(c, flat)


def row_products(rows: Tensor, values: Tensor) -> Tensor:
    """`(batch, query, n) · (batch, n) -> (batch, query)`; in this order of the factors five times faster on a CPU than in the
    other one, twice as fast as products that are summed."""
    return torch.bmm(values.unsqueeze(1), rows.transpose(1, 2)).squeeze(1)
