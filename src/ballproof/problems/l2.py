"""`L2`: the Euclidean ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.problems.cutball import CutBall
from ballproof.problems.region import across


@dataclass(frozen=True, eq=False, repr=False)
class L2(CutBall):
    """All x of the valid range with Euclidean distance <= eps from the center.

    Cut with the range, for a multiplier w >= 0 of the ball the best move is m_i = min(|c_i| / w, r_i), and the best w
    makes it eps long. The same search finds the nearest point, whose moves are min(t |x_i - x0_i|, r_i).
    """

    norm: ClassVar[str] = "l2"

    def free_gain(self, cotangent: Tensor) -> Tensor:
        return self.length(cotangent.flatten(2)) * self.reach.flatten(1)

    def spend(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        t = self._stretch(size, room)
        return torch.where(size > 0, torch.minimum(t * size, room), torch.zeros_like(room)), 1 / t

    def lagrangian(self, size: Tensor, moves: Tensor, multiplier: Tensor) -> Tensor:
        left = multiplier.squeeze(2) * self.reach.flatten(1) / 2 * self.reach.flatten(1)
        return (moves * (size - multiplier / 2 * moves)).sum(2) + left

    def length(self, moves: Tensor) -> Tensor:
        """By way of the largest entry: the squares of small numbers are zero, and what is too short proves too much."""
        top = moves.detach().abs().amax(-1, keepdim=True)
        unit = torch.where((top > 0) & torch.isfinite(top), top, torch.ones_like(top))
        length: Tensor = torch.linalg.vector_norm(moves / unit, dim=-1)
        return length * unit.squeeze(-1)

    def nearest(self, distance: Tensor, room: Tensor) -> Tensor:
        """Without a range the whole distance: landing scales it into the ball."""
        return distance if self.ends is None else self.spend(distance, room)[0]

    def direction(self, normal: Tensor, power: Tensor) -> Tensor:
        size = normal.abs() / normal.abs().amax(1, keepdim=True)
        moves = normal.sign() * size**power
        return moves / self.length(moves).unsqueeze(1)

    def step(self, gradient: Tensor) -> Tensor:
        """g / |g|: gradients as small as 1e-30 still point somewhere."""
        length = self.length(gradient.flatten(1))
        return gradient / across(torch.where(length > 0, length, torch.ones_like(length)), gradient)

    def _stretch(self, size: Tensor, room: Tensor) -> Tensor:
        """t > 0, `(batch, query, 1)`, for which min(t size, room) is eps long; infinite where it never is.

        Coordinates fill up in the order of room / size; while the first k are full, |min(t size, room)|^2 = A t^2 + B.
        """
        kind = torch.finfo(size.dtype)
        full = torch.where(size > 0, room / size.clamp(min=kind.tiny), torch.inf)
        point, order = full.sort(2)
        room2, size2 = room.gather(2, order).square(), size.gather(2, order).square()
        B = room2.cumsum(2) - room2
        A = size2.flip(2).cumsum(2).flip(2)
        t = ((self.reach.reshape(-1, 1, 1).square() - B).clamp(min=0) / A.clamp(min=kind.tiny)).sqrt()
        fits = (t <= point) & (A > 0)
        first = t.gather(2, fits.to(torch.int8).argmax(2, keepdim=True))
        return torch.where(fits.any(2, keepdim=True), first.clamp(min=kind.tiny**0.5), torch.inf)
