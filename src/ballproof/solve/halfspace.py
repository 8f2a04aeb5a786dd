"""Lines on a box that is cut by one half-space: where a counterexample must lie, ranges are smaller.

For any b >= 0, `min o·x` over the box and `a·x + e <= 0` is at least `min (o + b a)·x + b e` over the box. That is concave in
b, and any b is sound, so an unfinished search for the best one only costs tightness (complete clipping).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward, Cotangents

HALVINGS = 6


@dataclass(frozen=True, eq=False)
class HalfSpace:
    """`slope · x + offset <= 0`, one for each leaf: `(leaves, inputs)` and `(leaves,)`."""

    slope: Tensor
    offset: Tensor

    def __getitem__(self, index: Tensor | slice) -> HalfSpace:
        return HalfSpace(self.slope[index], self.offset[index])


def least(cotangent: Tensor, center: Tensor, radius: Tensor, cut: HalfSpace) -> Tensor:
    """A proven lower value of `cotangent · x`, `(leaves, query, inputs) -> (leaves, query)`, on each cut box.

    center, radius: `(leaves or 1, inputs)`.
    """
    a, e = cut.slope.unsqueeze(1), cut.offset.unsqueeze(1)
    size = a.abs() * radius.unsqueeze(1)
    reach = (cotangent.abs() @ radius.unsqueeze(2)).squeeze(2)
    middle_a = (cut.slope * center).sum(1, keepdim=True) + e
    middle = (cotangent @ center.unsqueeze(2)).squeeze(2)
    total = size.sum(2).clamp_min(torch.finfo(reach.dtype).tiny)
    low, high = torch.zeros_like(reach), 2 * reach / total
    best = middle - reach
    signed = a * radius.unsqueeze(1)
    for _ in range(HALVINGS):
        b = (low + high) / 2
        mixed = torch.addcmul(cotangent, b.unsqueeze(2), a)
        best = torch.maximum(best, middle + b * middle_a - (mixed.abs() @ radius.unsqueeze(2)).squeeze(2))
        rises = middle_a - (mixed.sign_() * signed).sum(2) > 0
        low, high = torch.where(rises, b, low), torch.where(rises, high, b)
    return best


class CutBackward(Backward):
    """A pull-back that meets boxes cut by a half-space each."""

    cut: HalfSpace | None = None

    def _concretise(self, cotangents: Cotangents | None, zero: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
        if self.cut is None or cotangents is None:
            return super()._concretise(cotangents, zero, both)
        box = self.region.box()
        center, radius = box.center.flatten(1), box.radius.flatten(1)
        lower = least(cotangents.lower.flatten(2), center, radius, self.cut) + self.offset_lower
        if cotangents.upper is None:
            return lower, None
        return lower, self.offset_upper - least(-cotangents.upper.flatten(2), center, radius, self.cut)

