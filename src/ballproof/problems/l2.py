"""`L2`: the Euclidean ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.problems.centered import Centered
from ballproof.problems.cutball import CutBall
from ballproof.problems.region import across, inner


@dataclass(frozen=True, eq=False)
class L2(CutBall, Centered):
    """All x of the valid range with Euclidean distance <= eps from the center.

    Cut with the range, the support function is the maximum over s >= 0 of its dual,
    g(s) = min over the range of c·x + (s/2)(|x - x0|^2 - eps^2): any s is sound. The minimum moves coordinate i by
    min(|c_i| / s, r_i) against c_i, where r_i is its room in the range, and the best s makes that vector eps long.
    """

    norm: ClassVar[str] = "l2"

    def free_minimum(self, cotangent: Tensor) -> Tensor:
        return inner(cotangent, self.center) - safe_norm(cotangent.flatten(2)) * self.reach.flatten(1)

    def free_minimizer(self, cotangent: Tensor) -> Tensor:
        flat = cotangent.flatten(2)
        unit = flat / safe_norm(flat).unsqueeze(2).clamp(min=torch.finfo(flat.dtype).tiny)
        return self.center.unsqueeze(1) - self.reach.unsqueeze(1) * unit.reshape(cotangent.shape)

    def displacement(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates sorted by their breakpoint r_i / |c_i|; between two of them |min(t|c|, r)|^2 = A t^2 + B."""
        eps = self.reach.reshape(-1, 1, 1)
        order = torch.where(size > 0, room / size.clamp(min=1e-300 if size.dtype == torch.float64 else 1e-37), torch.inf)
        point, index = order.sort(2)
        r2, c2 = room.gather(2, index).square(), size.gather(2, index).square()
        filled = r2.cumsum(2) - r2
        moving = c2.flip(2).cumsum(2).flip(2)
        best = ((eps.square() - filled).clamp(min=0) / moving.clamp(min=torch.finfo(size.dtype).tiny)).sqrt()
        fits = (best <= point) & (moving > 0)
        first = fits.to(torch.int8).argmax(2, keepdim=True)
        t = torch.where(fits.any(2, keepdim=True), best.gather(2, first), torch.inf)
        t = torch.where(torch.isinf(t), torch.full_like(t, torch.finfo(size.dtype).max**0.25), t)
        return torch.minimum(t * size, room), t

    def dual_value(self, size: Tensor, room: Tensor) -> Tensor:
        """What the range and the ball allow at most: max over s of -g(s), with c·x0 left out; `(batch, query)`."""
        with torch.no_grad():
            _, t = self.displacement(size, room)
        moved = torch.minimum(t * size, room)
        eps = self.reach.reshape(-1, 1)
        weight = (1 / t.clamp(min=torch.finfo(size.dtype).tiny)).squeeze(2)
        gained = (size * moved).sum(2) - 0.5 * weight * (moved.square().sum(2) - eps.square())
        return torch.where(eps > 0, gained, torch.zeros_like(gained))

    def length(self, x: Tensor) -> Tensor:
        return x.flatten(1).norm(dim=1)

    def shrink(self, x: Tensor) -> Tensor:
        """Scaling towards the center, cut with the range, at the largest scale that stays in the ball.

        The nearest point of ball and range is clip(x0 + s (x - x0)) for some s in [0, 1], by the optimality conditions.
        """
        return self.search(x, lambda s: self.cut(self.center + across(s, x) * (x - self.center)))

    def step(self, gradient: Tensor) -> Tensor:
        size = gradient.flatten(1).norm(dim=1)
        return gradient / across(torch.where(size > 0, size, torch.ones_like(size)), gradient)

    def raw_sample(self, draw: Tensor, share: Tensor) -> Tensor:
        return draw / across(draw.flatten(1).norm(dim=1).clamp(min=1e-12), draw) * share


def safe_norm(flat: Tensor) -> Tensor:
    """The Euclidean norm along the last axis, with gradient 0 at 0."""
    square = flat.square().sum(-1)
    zero = square == 0
    return torch.where(zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt())
