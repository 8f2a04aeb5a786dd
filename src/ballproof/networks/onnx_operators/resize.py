"""Resizing of maps: nearest and linear, axis by axis."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, prod

import torch
from torch import Tensor

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import composed
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates

Place = Callable[[int, int, int, float], float]
"""output place, outputs, inputs, scale -> place in the input."""

PLACES: dict[str, Place] = {
    "asymmetric": lambda x, m, n, s: x / s,
    "half_pixel": lambda x, m, n, s: (x + 0.5) / s - 0.5,
    "pytorch_half_pixel": lambda x, m, n, s: (x + 0.5) / s - 0.5 if m > 1 else 0.0,
    "align_corners": lambda x, m, n, s: x * (n - 1) / (m - 1) if m > 1 else 0.0,
}

ROUNDS: dict[str, Callable[[float], int]] = {
    "floor": floor,
    "ceil": ceil,
    "round_prefer_floor": lambda x: ceil(x - 0.5),
    "round_prefer_ceil": lambda x: floor(x + 0.5),
}

SETTINGS: tuple[str, ...] = (
    "mode",
    "scales",
    "coordinate_transformation_mode",
    "nearest_mode",
    "antialias",
    "cubic_coeff_a",
    "exclude_outside",
)
SETTINGS += ("extrapolation_value", "keep_aspect_ratio_policy")


@translates("Resize", "Upsample", settings=SETTINGS)
def resize(site: Site) -> Value:
    """Opset 10 and `Upsample` work from the left corner and round down."""
    old = site.node.op_type == "Upsample" or site.opset < 11
    mode = site.attribute("mode", "nearest")
    place = "asymmetric" if old else site.attribute("coordinate_transformation_mode", "half_pixel")
    rounds = "floor" if old else site.attribute("nearest_mode", "round_prefer_floor")
    if mode not in ("nearest", "linear") or place not in PLACES or site.flag("antialias"):
        raise UnsupportedError(f"mode {mode}, coordinates {place}; supported: nearest or linear, {', '.join(PLACES)}")
    if site.attribute("keep_aspect_ratio_policy", "stretch") != "stretch" or site.attribute("axes"):
        raise UnsupportedError("a kept aspect ratio or named axes; supported: stretch, all axes")
    found = site.name(0)
    goals = _goals(site, old)
    if prod(max(1, n, m) for n, (m, _) in zip(site.shape(0), goals, strict=True)) > MOST_NUMBERS:
        raise InputError(f"from {site.shape(0)} to {[m for m, _ in goals]}, expected at most {MOST_NUMBERS} entries")
    for i, (n, (m, scale)) in enumerate(zip(site.shape(0), goals, strict=True)):
        if m != n or scale != 1:
            weights = _weights(n, m, scale, PLACES[place], ROUNDS[rounds] if mode == "nearest" else None)
            found = composed.resampled(OnnxSketch(site), found, site.axis(i), weights, part=f"axis_{i}")
    return Value(found, site.batched)


def _goals(site: Site, old: bool) -> list[tuple[int, float]]:
    """The size and the scale of each axis."""
    shape = site.shape(0)
    if not old and site.given(3):
        sizes = site.integers(3, "sizes")
        return [(m, m / n) for m, n in zip([shape[0], *sizes[1:]], shape, strict=True)]
    place = 1 if old else 2
    scales = site.array(place, "scales").reshape(-1).tolist() if site.given(place) else site.attribute("scales")
    return [(floor(n * s), float(s)) for n, s in zip(shape, scales, strict=True)]


def _weights(n: int, m: int, scale: float, place: Place, rounds: Callable[[float], int] | None) -> Tensor:
    """The matrix `(outputs, inputs)` of one axis; places outside take the value at the border."""
    weights = torch.zeros(m, n, dtype=torch.float64)
    for x in range(m):
        at = place(x, m, n, scale)
        if rounds is not None:
            weights[x, min(max(rounds(at), 0), n - 1)] = 1.0
            continue
        at = min(max(at, 0.0), n - 1.0)
        left = min(floor(at), n - 1)
        weights[x, left] += 1 - (at - left)
        weights[x, min(left + 1, n - 1)] += at - left
    return weights
