"""Balls that are not boxes, cut with a valid range: by one-dimensional duals and searches over sorted breakpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ballproof.problems.centered import Centered
from ballproof.problems.region import across, inner

CHUNK = 2**23
"""Numbers sorted at once: 32 MiB in float32, of which a search holds about ten copies."""

INSIDE = 16
"""Moves are made shorter than eps by so many units in the last place: more than any order of summing them can add."""


class CutBall(Centered):
    """The parts that `L2` and `L1` share.

    Cut with the range, min of c·x is c·x0 minus what can be gained by moving each coordinate against c_i by m_i in
    [0, r_i], r_i its room in the range, with the ball as the one constraint that joins them. Its multiplier is found
    by sorting, without a gradient; then the Lagrangian at that multiplier and its own best moves is evaluated. So a
    multiplier that is rounded costs tightness, never soundness (weak duality), and the gradient is that of Danskin's
    theorem. Price: the sort of (batch, query, n) numbers; the whole ball needs none.
    """

    @abstractmethod
    def free_gain(self, cotangent: Tensor) -> Tensor:
        """What the whole ball gains: eps times the dual norm of the cotangent, `(batch, query)`."""

    @abstractmethod
    def spend(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """The best moves `(batch, query, n)` and the multiplier `(batch, query, 1)`; size = |c| with the largest 1."""

    @abstractmethod
    def lagrangian(self, size: Tensor, moves: Tensor, multiplier: Tensor) -> Tensor:
        """The gain of the moves plus the multiplier times what they leave of the ball, `(batch, query)`."""

    @abstractmethod
    def length(self, moves: Tensor) -> Tensor:
        """The ball's norm along the last axis."""

    @abstractmethod
    def nearest(self, distance: Tensor, room: Tensor) -> Tensor:
        """The moves to the point of ball and range that is nearest to one outside, `(batch, query, n)` >= 0.

        distance: how far that one is from x0 in each coordinate, >= 0.
        """

    @abstractmethod
    def direction(self, normal: Tensor, power: Tensor) -> Tensor:
        """Normal draws `(batch, n)` turned into moves of length 1; the powers `(batch, 1)` choose how sparse."""

    def minimum(self, cotangent: Tensor) -> Tensor:
        middle = inner(cotangent, self.center)
        return middle - (self.free_gain(cotangent) if self.clip is None else self._in_chunks(cotangent, self._gain))

    def minimizer(self, cotangent: Tensor) -> Tensor:
        with torch.no_grad():
            return self._in_chunks(cotangent, self._best).reshape(self.batch, -1, *self.shape)

    def project(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            close = self.cut(x)
            inside = self.length((close - self.center).flatten(1)) <= self.reach.flatten()
            away = (x - self.center).flatten(1).unsqueeze(1)
            moves = self.nearest(away.abs(), self.room(-away)) * away.sign()
            return torch.where(across(inside, x), close, self._land(moves).reshape(x.shape))

    def contains(self, x: Tensor, tolerance: float = 0.0) -> Tensor:
        near = self.length((x - self.center).flatten(1)) <= self.reach.flatten() + tolerance
        return near & ((x - self.cut(x)).abs() <= tolerance).flatten(1).all(1)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """A random direction, diffuse or sparse, half of the time of full length; cut with the range."""
        with torch.no_grad():
            normal = torch.randn(self.center.shape, generator=generator, dtype=self.dtype).to(self.device).flatten(1)
            share, power = torch.rand(2, self.batch, 1, generator=generator, dtype=self.dtype).to(self.device)
            length = (2 * share).clamp(max=1) * self.reach.reshape(-1, 1)
            moves = self.direction(normal, 1 + (3 * power).floor() ** 3) * length
            return self._land(moves.unsqueeze(1)).reshape(self.center.shape)

    def room(self, flat: Tensor) -> Tensor:
        """How far each coordinate may move against `flat (batch, query, n)` inside the range: at least 0.

        At most 2 eps, which never binds and keeps a range without an end finite.
        """
        most = 2 * self.reach.detach().reshape(-1, 1, 1)
        if self.ends is None:
            return most.expand(flat.shape)
        (low, high), center = self._rows, self.center.flatten(1).unsqueeze(1)
        return torch.where(flat >= 0, center - low, high - center).clamp(min=0).minimum(most)

    def _gain(self, flat: Tensor) -> Tensor:
        scale = flat.detach().abs().amax(2, keepdim=True)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        size, room = flat.abs() / scale, self.room(flat)
        with torch.no_grad():
            moves, multiplier = self.spend(size, room)
        gain = self.lagrangian(size, torch.where(moves >= room, room, moves), multiplier)
        return gain * scale.squeeze(2)

    def _best(self, flat: Tensor) -> Tensor:
        size = flat.abs()
        scale = size.amax(2, keepdim=True)
        moves, _ = self.spend(size / torch.where(scale > 0, scale, torch.ones_like(scale)), self.room(flat))
        return self._land(moves * -flat.sign())

    def _in_chunks(self, cotangent: Tensor, answer: Callable[[Tensor], Tensor]) -> Tensor:
        inner(cotangent[:, :0], self.center)  # refuses a misfit
        flat = cotangent.flatten(2)
        size = max(1, CHUNK // max(1, self.batch * flat.shape[2]))
        return torch.cat([answer(part.expand(self.batch, -1, -1)) for part in torch.split(flat, size, 1)], 1)

    def _land(self, moves: Tensor) -> Tensor:
        """`x0 + moves`, `(batch, query, n)`, with the moves scaled into the ball and every rounding towards x0.

        So the point is contained with tolerance 0: a distance between floats never exceeds the move it came from.
        """
        eps, center = self.reach.reshape(-1, 1), self.center.flatten(1).unsqueeze(1)
        most, length = eps * (1 - INSIDE * torch.finfo(moves.dtype).eps), self.length(moves)
        shrink = torch.where(length > most, most / torch.where(length > 0, length, torch.ones_like(length)), 1.0)
        moves = moves * shrink.unsqueeze(2)
        moves = torch.where((self.length(moves) <= eps).unsqueeze(2), moves, torch.zeros_like(moves))
        x = center + moves
        x = torch.where((x - center).abs() > moves.abs(), torch.nextafter(x, center.expand_as(x)), x)
        return x if self.ends is None else torch.minimum(torch.maximum(x, self._rows[0]), self._rows[1])

    @property
    def _rows(self) -> tuple[Tensor, Tensor]:
        """The ends of the valid range, `(batch, 1, n)`."""
        assert self.ends is not None
        low, high = (end.expand(self.center.shape).flatten(1).unsqueeze(1) for end in self.ends)
        return low, high
