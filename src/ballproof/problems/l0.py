"""`L0`: a number of pixels, moved anywhere in the valid range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.centered import Centered
from ballproof.problems.region import inner
from ballproof.values import Interval


@dataclass(frozen=True, eq=False, repr=False)
class L0(Centered):
    """All x of the valid range that differ from the center in at most eps pixels.

    A pixel is a place of an image `(channels, height, width)`, all its channels, or a coordinate of an input with one axis.
    eps is a number of pixels, rounded down. The range must have two ends: without them nothing holds a moved pixel.

    The only region that is not convex. A linear function has the same minimum on it as on its convex hull, so every bound that
    asks for `minimum` is a bound; the point of a segment between two of its points need not belong to it.
    """

    norm: ClassVar[str] = "l0"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ends is None or not all(bool(torch.isfinite(end).all()) for end in self.ends):
            raise InputError("an L0 ball needs `clip`, a valid range with two ends: moved pixels may go anywhere in it")

    def box(self) -> Interval:
        low, high = self.range
        moves = self.reach >= 1
        return Interval(torch.where(moves, low, self.center), torch.where(moves, high, self.center))

    def minimum(self, cotangent: Tensor) -> Tensor:
        return inner(cotangent, self.center) - self._largest(self._gains(cotangent))

    def minimizer(self, cotangent: Tensor) -> Tensor:
        with torch.no_grad():
            c = cotangent.expand(self.batch, *cotangent.shape[1:])
            chosen = self.spread(self.chosen(self._gains(c)))
            low, high = (end.unsqueeze(1) for end in self.range)
            best = torch.where(c > 0, low, torch.where(c < 0, high, self.center.unsqueeze(1)))
            return torch.where(chosen, best, self.center.unsqueeze(1))

    def project(self, x: Tensor) -> Tensor:
        """The pixels stay moved by which the distance to x shrinks most; the others return to the center."""
        with torch.no_grad():
            close = self.cut(x)
            gains = self.by_pixel(((x - self.center).square() - (x - close).square()).unsqueeze(1))
            changed = self.by_pixel((close != self.center).unsqueeze(1).to(gains)) > 0
            few = changed.sum(2, keepdim=True) <= self._count
            kept = torch.where(few, changed, self.chosen(gains) & changed)
            return torch.where(self.spread(kept).squeeze(1), close, self.center)

    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        """tolerance: by how much a pixel may leave the range; the number of moved pixels is exact."""
        moved = self.by_pixel((x != self.center).unsqueeze(1).to(self.dtype)) > 0
        near = moved.sum(2, keepdim=True) <= self._count
        return near.flatten() & ((x - self.cut(x)).abs() <= tolerance).flatten(1).all(1)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Random pixels, half of the time as many as may move; each channel at an end, half of the time, or uniform."""
        with torch.no_grad():
            order = torch.rand(self.batch, 1, self.pixels, generator=generator, dtype=self.dtype).to(self.device)
            share, end = torch.rand(2, *self.center.shape, generator=generator, dtype=self.dtype).to(self.device)
            part = (2 * torch.rand(self.batch, 1, 1, generator=generator, dtype=self.dtype)).clamp(max=1).to(self.device)
            chosen = self._first(order, (self._count * part).ceil())
            low, high = self.range
            fresh = self.cut(low + torch.where(end < 0.5, share.round(), share) * (high - low))
            return torch.where(self.spread(chosen).squeeze(1), fresh, self.center)

    def step(self, gradient: Tensor) -> Tensor:
        """The gradient with 1 as its largest entry: how many pixels move is left to the projection."""
        top = gradient.abs().flatten(1).amax(1)
        return gradient / torch.where(top > 0, top, torch.ones_like(top)).reshape(-1, *[1] * (gradient.ndim - 1))

    @property
    def range(self) -> tuple[Tensor, Tensor]:
        """The ends of the valid range, `(batch, *input)`."""
        assert self.ends is not None
        low, high = (end.expand(self.center.shape) for end in self.ends)
        return low, high

    @property
    def pixels(self) -> int:
        return self.center[0].numel() // self._channels if self.batch else 0

    def by_pixel(self, values: Tensor) -> Tensor:
        """Sums over the channels: `(batch, query, *input)` to `(batch, query, pixels)`."""
        flat = values.flatten(2)
        return flat.unflatten(2, (self._channels, -1)).sum(2) if self._channels > 1 else flat

    def spread(self, pixels: Tensor) -> Tensor:
        """A value of each pixel for all its channels: `(batch, query, pixels)` to `(batch, query, *input)`."""
        return pixels.unsqueeze(2).expand(-1, -1, self._channels, -1).reshape(*pixels.shape[:2], *self.shape)

    def chosen(self, gains: Tensor) -> Tensor:
        """The pixels `(batch, query, pixels)` of the largest gains, as many as may move; ties go to the first."""
        return self._first(-gains, self._count)

    @property
    def _channels(self) -> int:
        return self.shape[0] if len(self.shape) > 1 else 1

    @property
    def _count(self) -> Tensor:
        """How many pixels may move, `(batch, 1, 1)`."""
        return self.reach.detach().reshape(-1, 1, 1).floor()

    def _first(self, order: Tensor, count: Tensor) -> Tensor:
        rank = order.argsort(dim=2, stable=True).argsort(2)
        return rank < count

    def _gains(self, cotangent: Tensor) -> Tensor:
        """What each pixel lowers the function by, `(batch, query, pixels)`, at least 0."""
        low, high = (end.unsqueeze(1) for end in self.range)
        center = self.center.unsqueeze(1)
        return self.by_pixel(torch.where(cotangent > 0, cotangent * (center - low), -cotangent * (high - center)))

    def _largest(self, gains: Tensor) -> Tensor:
        ordered = gains.sort(2, descending=True).values
        return (ordered * (torch.arange(self.pixels, device=self.device) < self._count)).sum(2)
