"""The common part of `Box` and `Linf`: everything follows from the box."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.problems.region import Region, inner
from ballproof.values import Interval


class Boxlike(Region):
    """A region that is its box."""

    def minimum(self, cotangent: Tensor) -> Tensor:
        """center · c - radius · |c|: as fast as lower · max(c, 0) + upper · min(c, 0), and the parts serve `extent`."""
        return self.extent(cotangent).lower

    def minimizer(self, cotangent: Tensor) -> Tensor:
        box = self.box()
        return torch.where(cotangent >= 0, box.lower.unsqueeze(1), box.upper.unsqueeze(1))

    def extent(self, cotangent: Tensor) -> Interval:
        box = self.box()
        middle, reach = inner(cotangent, box.center), inner(cotangent.abs(), box.radius)
        return Interval(middle - reach, middle + reach)

    def project(self, x: Tensor) -> Tensor:
        box = self.box()
        return torch.minimum(torch.maximum(x, box.lower), box.upper)

    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        box = self.box()
        return ((x >= box.lower - tolerance) & (x <= box.upper + tolerance)).flatten(1).all(1)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Uniform in the box, with a quarter of the coordinates at an end."""
        box = self.box()
        share, end = torch.rand((2, *self.like.shape), generator=generator, dtype=self.dtype).to(self.device)
        share = torch.where(end < 0.25, share.round(), share)
        return self.project(box.lower + share * box.width)

    def step(self, gradient: Tensor) -> Tensor:
        return gradient.sign()
