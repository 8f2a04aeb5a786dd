"""Where a search starts in a region, where and how far it may step, and how far rounding may push a point out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ballproof.problems import L0, Region
from ballproof.problems.centered import Centered


def start(region: Region) -> Tensor:
    """The clean input: a ball's center (moved into the valid range where it lies outside), the middle of a `Box`."""
    return region.project(region.center if isinstance(region, Centered) else region.box().center)


def reach(region: Region) -> Tensor:
    """How far a step of length 1 goes: eps of a ball, half the width of a `Box`, the width of the range for L0 (whose eps is a
    number of pixels); broadcasts to `(batch, *input)`."""
    if isinstance(region, L0):
        low, high = region.range
        return high - low
    return region.reach if isinstance(region, Centered) else region.box().radius


def useful(region: Region, points: Tensor, ascent: Tensor) -> Tensor:
    """The ascent direction without the coordinates in which descending would only leave the valid range again.

    A steepest L1 step spends everything on one coordinate, and would stand still for good where that one is at its end.
    """
    if not isinstance(region, Centered) or region.clip is None:
        return ascent
    box, far = region.box(), torch.inf if isinstance(region, L0) else region.reach
    at_lower = (points <= box.lower) & (box.lower > region.center - far)
    at_upper = (points >= box.upper) & (box.upper < region.center + far)
    return ascent.masked_fill((at_lower & (ascent > 0)) | (at_upper & (ascent < 0)), 0)


def rounding(region: Region) -> float:
    """How far outside a point of the region may be read by rounding alone, in units of the input (the norm's distance).

    Projection and membership each round a coordinate by at most 2 units in the last place of the largest number in
    sight; over n coordinates that adds up to n (L1), sqrt(n) (L2) or 1 (Linf) times as much. float32 and a 784-pixel
    image in [0, 1]: 1e-6 in Linf, 3e-5 in L2.
    """
    box = region.box()
    size = max(1.0, float(torch.maximum(box.lower.abs(), box.upper.abs()).max())) if region.batch else 1.0
    count = box.lower[0].numel() if region.batch else 1
    many = {"l1": float(count), "l2": math.sqrt(count)}.get(region.norm, 1.0)
    return 8 * torch.finfo(box.lower.dtype).eps * size * many
