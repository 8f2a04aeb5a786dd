"""The points of the plane in Wong & Kolter's first example: boxes round them do not meet."""

from __future__ import annotations

import torch

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

TRIES = 100_000
"""Draws before giving up: twelve boxes of the default size take about forty; what needs a thousand times that hardly fits."""


def points(count: int = 12, radius: float = 0.08, seed: int = 3, gap: float = 1.25) -> Dataset:
    """`count` points of the unit square whose boxes of this radius do not meet, even blown up by the factor `gap`.

    So any two points differ by more than 2 * gap * radius in some coordinate. radius: in the units of the square.
    Labels 0 and 1 are drawn at random but for the first two, which have one each. All depends on the arguments alone.
    Raises `InputError` if so many do not fit.
    """
    if count < 2 or not 0 < radius < 1 or not 1 <= gap < float("inf"):
        told = "expected count >= 2, 0 < radius < 1, gap >= 1"
        raise InputError(f"`count`, `radius`, `gap` are {count}, {radius}, {gap}, {told}")
    generator = torch.Generator().manual_seed(seed)
    kept: list[torch.Tensor] = []
    for _ in range(TRIES):
        if len(kept) == count:
            break
        point = torch.rand(2, generator=generator)
        if all(float((point - other).abs().max()) > 2 * gap * radius for other in kept):
            kept.append(point)
    if len(kept) < count:
        raise InputError(f"`count` is {count}: so many boxes of radius {radius} do not fit into the unit square")
    labels = (torch.rand(count, generator=generator) > 0.5).long()
    labels[:2] = torch.tensor([0, 1])
    return Dataset(torch.stack(kept), labels, "points", "train", 2)
