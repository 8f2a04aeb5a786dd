"""Resizing of maps: nearest and linear, axis by axis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.networks import composed
from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.sketch import AtenSketch
from ballproof.networks.aten.table import translates

NEAREST = tuple(f"aten.{kind}{n}d.vec" for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3))
LINEAR = ("aten.upsample_linear1d.vec", "aten.upsample_bilinear2d.vec", "aten.upsample_trilinear3d.vec")


@translates(*NEAREST)
def nearest(site: Site) -> Ref:
    return _resized(site, "nearest-exact" if "exact" in str(site.function) else "nearest", {})


@translates(*LINEAR)
def linear(site: Site) -> Ref:
    return _resized(site, "linear", {"align_corners": bool(site.arguments["align_corners"])})


def _resized(site: Site, mode: str, settings: dict[str, Any]) -> Ref:
    """A bilinear interpolation is a linear one along each axis; the weights are the framework's own."""
    x, found = AtenSketch(site), site.ref("input")
    sizes = site.shape(found)[1:]
    targets = site.ints("output_size") if site.given("output_size") else None
    factors: Any = site.arguments["scale_factors"]
    for i, n in enumerate(sizes):
        goal = {"size": targets[i]} if targets else {"scale_factor": float(factors[i])}
        weights = _weights(n, mode, goal | settings)
        found = Ref(composed.resampled(x, found, i + 2, weights, part=f"axis_{i + 2}"))
    return found


def _weights(n: int, mode: str, settings: dict[str, Any]) -> Tensor:
    """The matrix `(outputs, inputs)` of one axis."""
    units = torch.eye(n, dtype=torch.float64).unsqueeze(1)
    return F.interpolate(units, mode=mode, **settings).squeeze(1).T.contiguous()
