"""How an attack of another library sees boxes: as cubes of one radius, in coordinates of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.problems import Box, Linf, Region
from ballproof.values import Interval

FINEST = 2.0**-10
"""The least radius, as a share of [0, 1], of which single precision still resolves a thousandth."""

ROUNDED = 16
"""By so many units in the last place the widths of boxes may differ that were made with one radius."""


@dataclass(frozen=True, eq=False)
class Frame:
    """`v` stands for the input `low + v * unit`, moved into [least, most]; all `(*input)`.

    start `(batch, *input)`: a point of [0, 1] for each box. What is within `eps` of it in Linf stands for the points of that
    box, up to rounding, and for no others.
    """

    start: Tensor
    eps: float
    low: Tensor
    unit: Tensor
    least: Tensor
    most: Tensor

    def back(self, points: Tensor) -> Tensor:
        """The inputs that `points` stand for, in the dtype of the boxes. The gradient is that of the map that is not cut."""
        inputs = self.low + points.to(self.low) * self.unit
        cut = torch.minimum(torch.maximum(inputs, self.least), self.most)
        return inputs + (cut - inputs).detach()


def boxed(region: Region) -> bool:
    """Whether no ball of one radius an example is this region: a box, or Linf with a radius for each pixel."""
    if not isinstance(region, Linf):
        return isinstance(region, Box)
    flat = region.reach.flatten(1)
    return flat.shape[1] != 1 and bool((flat != flat[:, :1]).any())


def frame_of(box: Interval) -> Frame:
    """Coordinates for boxes that `fits` says go together."""
    radius, least, most = _outermost(box)
    center = torch.where(
        box.width >= 2 * radius, box.center, torch.where(box.lower <= least, box.upper - radius, box.lower + radius)
    )
    low, high = torch.minimum(least, center.amin(0)), torch.maximum(most, center.amax(0))
    eps = _share(radius, high - low)
    unit = radius / eps
    start = torch.where(unit > 0, (center - low) / torch.where(unit > 0, unit, 1), 0.5)
    return Frame(start.clamp(0, 1), eps, low, unit, least, most)


def fits(box: Interval) -> bool:
    """Whether one radius, cut with one range, gives all of these boxes `(batch, *input)`: one box always does.

    So it is where each is as wide as the widest in each coordinate, or ends where the outermost end.
    """
    if len(box.lower) < 2:
        return True
    radius, least, most = _outermost(box)
    near = ROUNDED * torch.finfo(radius.dtype).eps * torch.maximum(least.abs(), most.abs())
    wide = (box.width >= 2 * radius - near) & ((radius > 0) | (most <= least))
    ends = (radius > 0) & ((box.lower <= least) | (box.upper >= most))
    return bool((wide | ends).all()) and _share(radius, most - least) >= FINEST


def _outermost(box: Interval) -> tuple[Tensor, Tensor, Tensor]:
    """The largest radius in each coordinate, and the ends of the range that holds all boxes."""
    return box.radius.amax(0), box.lower.amin(0), box.upper.amax(0)


def _share(radius: Tensor, width: Tensor) -> float:
    """The radius where [0, 1] is as long as the range in the coordinate that needs most of it."""
    shares = torch.where(radius > 0, radius / width, 0.5)
    return float(shares.min()) if shares.numel() else 0.5
