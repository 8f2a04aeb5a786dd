"""What a region is: a batch of sets of inputs, each with an exact support function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.values import Interval


class Region(ABC):
    """The inputs that the adversary may use, one set for each example; everything in the units of the model's input.

    Laws, checked by the tests: every sample, projection and minimizer is contained; `minimum` is the value at the
    minimizer and below the value at every sample; `box` is the smallest that contains the region.
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
    def __getitem__(self, index: list[int] | Tensor | slice) -> Self:
        """The same regions for some examples."""

    @abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same regions elsewhere, or in another floating type."""

    @abstractmethod
    def box(self) -> Interval:
        """The smallest box round the region, `(batch, *input)`."""

    @abstractmethod
    def minimum(self, cotangent: Tensor) -> Tensor:
        """The exact minimum of `cotangent · x` over the region, `(batch, query)`; differentiable in the cotangent.

        cotangent: `(batch or 1, query, *input)`; a batch axis of 1 is shared by all examples.
        """

    @abstractmethod
    def minimizer(self, cotangent: Tensor) -> Tensor:
        """A point of the region where the minimum is attained, `(batch, query, *input)`."""

    def extent(self, cotangent: Tensor) -> Interval:
        """The exact range of `cotangent · x` over the region, `(batch, query)`."""
        return Interval(self.minimum(cotangent), -self.minimum(-cotangent))

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the region in the Euclidean distance, `(batch, *input)`."""

    @abstractmethod
    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        """Which of `x (batch, *input)` lie in the region, up to `tolerance` in the region's own norm; `(batch,)`."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Random points, `(batch, *input)`: inside and on the boundary, corners among them."""

    @abstractmethod
    def step(self, gradient: Tensor) -> Tensor:
        """The direction of length 1 in the region's norm that ascends fastest, `(batch, *input)`; 0 where nothing does."""


def across(value: Tensor, like: Tensor) -> Tensor:
    """A value for each example, `(batch,)`, shaped to meet `like (batch, *input)`."""
    return value.reshape(-1, *(1 for _ in like.shape[1:]))


def inner(cotangent: Tensor, x: Tensor) -> Tensor:
    """`(batch or 1, query, *input) · (batch, *input) -> (batch, query)`."""
    c, x = cotangent.flatten(2), x.flatten(1)
    if c.shape[0] == 1:
        return x @ c[0].T
    return (c @ x.unsqueeze(2)).squeeze(2)
