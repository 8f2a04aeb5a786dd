"""What is refused when a region is made."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ballproof.errors import InputError

Clip = tuple[float | Tensor, float | Tensor]
SLACK = 1e-6
"""How far a center may lie outside the valid range and still be taken as rounded into it."""


def floating(name: str, value: Tensor) -> Tensor:
    """`value`, if it is a floating tensor with a batch axis and without NaN or infinities."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"`{name}` is {kind}, expected a floating tensor (batch, *input); call .float() on it")
    if value.ndim < 2:  # noqa: PLR2004
        raise InputError(f"`{name}` has shape {tuple(value.shape)}, expected (batch, *input); add a batch axis")
    bad = ~torch.isfinite(value.detach()).flatten(1).all(1)
    if bool(bad.any()):
        raise InputError(f"`{name}` is NaN or infinite in example {int(bad.nonzero()[0])}")
    return value


def radius(eps: float | Tensor, center: Tensor, per_pixel: bool, norm: str) -> Tensor:
    """eps as a tensor that broadcasts to `(batch, *input)`.

    A number serves all; `(batch,)` is a radius for each example; more axes are a radius for each pixel, which must
    broadcast to `(batch, *input)` or have the shape of one input.
    """
    given = torch.as_tensor(eps, dtype=center.dtype, device=center.device)
    bad = given.detach()[~(torch.isfinite(given.detach()) & (given.detach() >= 0))]
    if bad.numel():
        raise InputError(f"`eps` is {bad.flatten()[0].item()}, expected a finite number >= 0 in the units of the input")
    if given.numel() == 1 and given.ndim <= 1:
        return given.reshape(1, *(1 for _ in center.shape[1:])).expand(len(center), *(1 for _ in center.shape[1:]))
    if tuple(given.shape) == (len(center),):
        return given.reshape(-1, *(1 for _ in center.shape[1:]))
    if given.ndim == center.ndim and given.numel() == len(given) and len(given) in (1, len(center)):
        return given.expand(len(center), *given.shape[1:])
    if not per_pixel:
        raise InputError(f"`eps` has shape {tuple(given.shape)}; a radius for each pixel is modelled for Linf, not {norm}")
    if tuple(given.shape) == tuple(center.shape[1:]):
        return given.unsqueeze(0).expand(center.shape)
    if given.ndim == center.ndim and all(a in (1, b) for a, b in zip(given.shape, center.shape, strict=True)):
        return given.expand(len(center), *given.shape[1:])
    raise InputError(f"`eps` has shape {tuple(given.shape)}, which fits neither the batch nor inputs {tuple(center.shape)}")


def valid_range(clip: Clip | None, center: Tensor) -> tuple[Tensor, Tensor] | None:
    """The ends of the valid range as tensors that broadcast to the center; refuses a center outside them."""
    if clip is None:
        return None
    low, high = (torch.as_tensor(c, dtype=center.dtype, device=center.device) for c in clip)
    if not bool((low <= high).all()):
        raise InputError(f"`clip` is {clip}, expected (low, high) with low <= high")
    outside = torch.maximum(low - center.detach(), center.detach() - high)
    worst = float(outside.max()) if outside.numel() else -math.inf
    if worst > SLACK:
        at = int(outside.flatten(1).amax(1).argmax())
        found = center.detach()[at].flatten()[int(outside[at].flatten().argmax())].item()
        raise InputError(f"`center` holds {found:.6g} in example {at}, outside the valid range {_told(clip)}")
    return low, high


def _told(clip: Clip) -> str:
    return "[" + ", ".join(f"{c:g}" if isinstance(c, (int, float)) else "per pixel" for c in clip) + "]"
