"""`L1`: the sum of all moves is at most eps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.problems.centered import Centered
from ballproof.problems.cutball import CutBall
from ballproof.problems.region import inner


@dataclass(frozen=True, eq=False)
class L1(CutBall, Centered):
    """All x of the valid range whose coordinates differ from the center's by eps in sum.

    Cut with the range, the support function is a fractional knapsack: spend eps on the coordinates with the largest
    |c_i|, each up to its room r_i. Its dual, for a price s >= 0, is eps s + sum_i r_i max(|c_i| - s, 0); any s is sound.
    """

    norm: ClassVar[str] = "l1"

    def free_minimum(self, cotangent: Tensor) -> Tensor:
        return inner(cotangent, self.center) - cotangent.flatten(2).abs().amax(2) * self.reach.flatten(1)

    def free_minimizer(self, cotangent: Tensor) -> Tensor:
        flat = cotangent.flatten(2)
        at = flat.abs().argmax(2, keepdim=True)
        unit = torch.zeros_like(flat).scatter(2, at, flat.gather(2, at).sign()).reshape(cotangent.shape)
        return self.center.unsqueeze(1) - self.reach.unsqueeze(1) * unit

    def displacement(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """The knapsack's filling, and the price of the coordinate that it ends in."""
        ordered, index = size.sort(2, descending=True)
        rooms = room.gather(2, index)
        before = rooms.cumsum(2) - rooms
        taken = torch.minimum(rooms, (self.reach.reshape(-1, 1, 1) - before).clamp(min=0))
        last = (taken < rooms).to(torch.int8).argmax(2, keepdim=True)
        ends = (taken < rooms).any(2, keepdim=True)
        price = torch.where(ends, ordered.gather(2, last), torch.zeros_like(ordered[..., :1]))
        return torch.zeros_like(taken).scatter(2, index, taken), price

    def dual_value(self, size: Tensor, room: Tensor) -> Tensor:
        """What the range and the ball allow at most, by the dual at the best price; `(batch, query)`."""
        with torch.no_grad():
            _, price = self.displacement(size, room)
        return self.reach.reshape(-1, 1) * price.squeeze(2) + (room * (size - price).clamp(min=0)).sum(2)

    def length(self, x: Tensor) -> Tensor:
        return x.flatten(1).abs().sum(1)

    def shrink(self, x: Tensor) -> Tensor:
        """Soft thresholding towards the center, cut with the range, at the least threshold that stays in the ball.

        The nearest point of ball and range moves coordinate i from the center by min(max(|d_i| - s, 0), its room),
        where d = x - center, for some s >= 0, by the optimality conditions.
        """
        d = x - self.center
        top = d.abs().flatten(1).amax(1)

        def at(share: Tensor) -> Tensor:
            threshold = ((1 - share) * top).reshape(-1, *(1 for _ in x.shape[1:]))
            return self.cut(self.center + d.sign() * (d.abs() - threshold).clamp(min=0))

        return self.search(x, at)

    def step(self, gradient: Tensor) -> Tensor:
        """All on the coordinate with the largest gradient."""
        flat = gradient.flatten(1)
        at = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter(1, at, flat.gather(1, at).sign()).reshape(gradient.shape)

    def raw_sample(self, draw: Tensor, share: Tensor) -> Tensor:
        """Signed shares of eps; a cube of the normal draw makes a few coordinates large."""
        cubed = draw**3
        return cubed / cubed.flatten(1).abs().sum(1).clamp(min=1e-12).reshape(-1, *(1 for _ in draw.shape[1:])) * share
