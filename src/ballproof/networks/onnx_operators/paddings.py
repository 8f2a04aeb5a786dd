"""Sizes, strides and paddings along the spatial axes."""

from __future__ import annotations

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.site import Shape, Site


def along(site: Site, name: str, kernel: Shape, default: int = 1) -> Shape:
    """An attribute with one number for each spatial axis."""
    found = tuple(int(v) for v in site.attribute(name, (default,) * len(kernel)))
    if len(found) != len(kernel) or min(found) < default:
        raise InputError(f"{name} {found} for a kernel of {kernel}")
    return found


def paddings(site: Site, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """(before, after) for each spatial axis, from `pads` or `auto_pad`."""
    auto, axes = site.attribute("auto_pad", "NOTSET"), len(kernel)
    if auto == "VALID":
        return (0,) * axes, (0,) * axes
    if auto == "NOTSET":
        return _explicit(site, axes)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"auto_pad {auto!r}; supported: NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    reached = zip(site.shape(0)[2:], kernel, stride, dilation, strict=True)
    whole = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in reached]
    small, large = tuple(w // 2 for w in whole), tuple(w - w // 2 for w in whole)
    return (small, large) if auto == "SAME_UPPER" else (large, small)


def _explicit(site: Site, axes: int) -> tuple[Shape, Shape]:
    pads = tuple(int(v) for v in site.attribute("pads", (0,) * (2 * axes)))
    if len(pads) != 2 * axes:
        raise InputError(f"pads {pads} for {axes} spatial axes")
    if min(pads) < 0:
        raise UnsupportedError(f"negative pads {pads}; supported: pads >= 0")
    return pads[:axes], pads[axes:]
