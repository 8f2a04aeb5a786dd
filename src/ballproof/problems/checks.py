"""What is refused when a region is made, asked, or cut into parts."""

from __future__ import annotations

from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from ballproof.errors import InputError, UnsupportedError

Clip = tuple[float | Tensor, float | Tensor]
Index = list[int] | slice | Tensor
SLACK = 1e-6
"""How far a center may lie outside the valid range and still be taken as rounded out of it."""


def finite(value: Tensor) -> bool:
    """Whether no number is NaN or infinite. One sum shows it, unless that overflows."""
    value = value.detach()
    return isfinite(value.sum().item()) or bool(torch.isfinite(value).all())


def floating(name: str, value: object) -> Tensor:
    """`value`, if it is a floating tensor with a batch axis and without NaN or infinities."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"`{name}` is {kind}, expected a floating tensor (batch, ...); call .float() on it")
    if value.ndim < 2:
        raise InputError(f"`{name}` has shape {tuple(value.shape)}, expected (batch, *input); add a batch axis")
    if not finite(value):
        bad = ~torch.isfinite(value.detach()).flatten(1).all(1)
        raise InputError(f"`{name}` is NaN or infinite in example {int(bad.nonzero()[0])}, expected finite numbers")
    return value


def number(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """`value` as a tensor of the type and device of `like`, if it is a real number or a tensor of them."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    tensor = isinstance(value, Tensor) and not value.is_complex() and value.dtype != torch.bool
    if not real and not tensor:
        kind = value.dtype if isinstance(value, Tensor) else repr(value)
        raise InputError(f"`{name}` is {kind}, expected a number or a tensor, in the units of the input")
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def extremes(value: Tensor) -> tuple[float, float]:
    """The least and the largest number, NaN where one is; (0, 0) of none."""
    value = value.detach()
    if value.numel() <= 1:
        return (value.item(),) * 2 if value.numel() else (0, 0)
    low, high = value.aminmax()
    return low.item(), high.item()


def radius(eps: float | Tensor, center: Tensor, per_pixel: bool, norm: str) -> Tensor:
    """eps as a tensor with all axes of `center (batch, *input)`, of which every one but the first may be 1.

    A number serves all. One axis is always a radius for each example, `(batch,)`, even where the inputs have one axis
    too: a radius for each of n coordinates is then written `(1, n)`. Two axes or more are a radius for each pixel
    (`per_pixel` alone) and broadcast to `(batch, *input)` as PyTorch does, from the right.
    """
    given = number("eps", eps, center)
    low, high = (0, 1) if not isinstance(eps, Tensor) and 0 <= eps <= 1 else extremes(given)
    if not (low >= 0 and high < inf):
        raise InputError(f"`eps` is {low if not low >= 0 else high:g}, expected a finite number >= 0 in the units of the input")
    batch, ones = len(center), (1,) * (center.ndim - 1)
    if given.ndim == 0 or tuple(given.shape) == (1,):
        return given.expand(batch, *ones)
    if tuple(given.shape) in {(batch,), (batch, *ones), (1, *ones)}:
        return given.reshape(-1, *ones).expand(batch, *ones)
    if given.ndim > 1 and not per_pixel:
        raise UnsupportedError(f"`eps` of shape {tuple(given.shape)}: a radius for each pixel is for Linf, not {norm}")
    if given.ndim == 1 or not _broadcasts(given, center):
        expected = f"a number or ({batch},)" + f", or what broadcasts to {tuple(center.shape)}" * per_pixel
        hint = "; write (1, n) for a radius for each of n coordinates" * (per_pixel and given.ndim == 1)
        raise InputError(f"`eps` has shape {tuple(given.shape)}, expected {expected}{hint}")
    whole = given.reshape(*ones[: center.ndim - given.ndim], *given.shape) if given.ndim < center.ndim else given
    return whole.expand(batch, *whole.shape[1:])


def valid_range(clip: object, center: Tensor) -> tuple[Tensor, Tensor] | None:
    """The ends of the valid range as tensors that broadcast to the center; refuses a center outside them.

    Each end is a number, or a tensor that broadcasts to one input or to the batch; it may be infinite.
    """
    if clip is None:
        return None
    if not isinstance(clip, (tuple, list)) or len(clip) != 2:
        raise InputError(f"`clip` is {clip!r}, expected (low, high) in the units of the input, or None")
    low, high = (number("clip", end, center) for end in clip)
    for end in (low, high):
        if not _broadcasts(end, center):
            told = f"an end of shape {tuple(end.shape)}, expected to broadcast to {tuple(center.shape)}"
            raise InputError(f"`clip` has {told}")
    if not bool((low <= high).all()):
        raise InputError(f"`clip` is {_told(low, high)}, expected (low, high) with low <= high, without NaN")
    _center_inside(center.detach(), low, high)
    return low, high


def rows(index: object) -> Any:
    """`index`, if it keeps the batch axis."""
    if isinstance(index, Integral) or (isinstance(index, Tensor) and index.ndim == 0):
        at = int(index)
        raise InputError(f"`index` is {at}, expected a list, a slice or a tensor: [[{at}]] takes one example")
    return index


def _center_inside(center: Tensor, low: Tensor, high: Tensor) -> None:
    outside = torch.maximum(low - center, center - high).flatten(1)
    if outside.numel() and float(outside.max()) > SLACK:
        at = int(outside.amax(1).argmax())
        found = center[at].flatten()[int(outside[at].argmax())].item()
        raise InputError(f"`center` holds {found:.6g} in example {at}, outside the valid range {_told(low, high)}")


def _broadcasts(value: Tensor, like: Tensor) -> bool:
    pairs = zip(reversed(value.shape), reversed(like.shape), strict=False)
    return value.ndim <= like.ndim and all(a in (1, b) for a, b in pairs)


def _told(*ends: Tensor) -> str:
    return "[" + ", ".join(f"{e.item():g}" if e.ndim == 0 else "per pixel" for e in ends) + "]"
