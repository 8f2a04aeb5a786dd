"""Balls that are not boxes, cut with a valid range: by one-dimensional duals and one-dimensional searches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ballproof.problems.centered import Centered
from ballproof.problems.region import across, inner

CHUNK = 2**24
"""Numbers handled at once by the sorted searches: 64 MiB in float32."""


class CutBall(Centered):
    """The parts that L2 and L1 share."""

    @abstractmethod
    def free_minimum(self, cotangent: Tensor) -> Tensor:
        """The support function of the whole ball."""

    @abstractmethod
    def free_minimizer(self, cotangent: Tensor) -> Tensor:
        """Where the whole ball attains it."""

    @abstractmethod
    def displacement(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """How far each coordinate moves at the minimum, and the best multiplier; size = |cotangent|, `(batch, query, n)`."""

    @abstractmethod
    def dual_value(self, size: Tensor, room: Tensor) -> Tensor:
        """The dual at the best multiplier, `(batch, query)`: an upper bound of what can be gained, equal to it but for rounding."""

    @abstractmethod
    def length(self, x: Tensor) -> Tensor:
        """The ball's norm of each example, `(batch,)`."""

    @abstractmethod
    def shrink(self, x: Tensor) -> Tensor:
        """The nearest point of ball and range for x outside of it."""

    @abstractmethod
    def raw_sample(self, draw: Tensor, share: Tensor) -> Tensor:
        """A normal draw turned into a move of length `share` in the ball's norm."""

    def minimum(self, cotangent: Tensor) -> Tensor:
        if self.clip is None:
            return self.free_minimum(cotangent)
        return inner(cotangent, self.center) - self._in_chunks(cotangent, self.dual_value)

    def minimizer(self, cotangent: Tensor) -> Tensor:
        if self.clip is None:
            return self.free_minimizer(cotangent).expand(self.batch, -1, *self.shape)
        flat = cotangent.flatten(2).expand(self.batch, -1, -1)
        moved = self.displacement(flat.abs(), self._room(flat))[0] * -flat.sign()
        return self.center.unsqueeze(1) + moved.reshape(*flat.shape[:2], *self.shape)

    def _in_chunks(self, cotangent: Tensor, answer: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        flat = cotangent.flatten(2)
        size = max(1, CHUNK // (self.batch * flat.shape[2]))
        parts = [p.expand(self.batch, -1, -1) for p in flat.split(size, 1)]
        return torch.cat([answer(p.abs(), self._room(p)) for p in parts], 1)

    def _room(self, flat: Tensor) -> Tensor:
        """How far each coordinate may fall against the cotangent inside the range; never negative."""
        assert self.clip is not None
        low, high = (torch.as_tensor(c).expand(self.center.shape).flatten(1).unsqueeze(1) for c in self.clip)
        center = self.center.flatten(1).unsqueeze(1)
        return torch.where(flat >= 0, center - low, high - center).clamp(min=0)

    def project(self, x: Tensor) -> Tensor:
        inside = self.length(self.cut(x) - self.center) <= self.reach.flatten()
        return torch.where(across(inside, x), self.cut(x), self.shrink(x))

    def search(self, x: Tensor, at: Callable[[Tensor], Tensor]) -> Tensor:
        """`at(s)` for the largest s in [0, 1] that stays in the ball, by bisection; s = 0 is the center."""
        low, high = x.new_zeros(len(x)), x.new_ones(len(x))
        for _ in range(60 if x.dtype == torch.float64 else 30):
            middle = (low + high) / 2
            fits = self.length(at(middle) - self.center) <= self.reach.flatten()
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return at(low)

    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        near = self.length(x - self.center) <= self.reach.flatten() + tolerance
        return near & ((x - self.cut(x)).abs().flatten(1).amax(1) <= tolerance)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A random direction, half of the time of full length; cut with the range, which keeps it in the ball."""
        draw = torch.randn(self.center.shape, generator=generator, dtype=self.dtype).to(self.device)
        share = torch.rand(self.batch, generator=generator, dtype=self.dtype).to(self.device)
        length = across((2 * share).clamp(max=1 - 1e-6) * self.reach.flatten(), draw)
        return self.project(self.center + self.raw_sample(draw, length))
