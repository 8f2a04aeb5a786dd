"""The same numbers in another shape or order."""

from __future__ import annotations

from math import prod

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Shape, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.permute import Permute


@translates("Flatten", settings=("axis",), folds=True)
def flatten(site: Site) -> Value | Array:
    shape, axis = site.shape(0), site.attribute("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise InputError(f"axis {axis} of a value of shape {shape}")
    place = axis + len(shape) if axis < 0 else axis
    wanted = prod(shape[:place]), prod(shape[place:])
    if not site.varying:
        return site.array(0, "x").reshape(wanted)
    if site.batched and place == 0:
        raise BatchAxisError("axis 0 puts the batch among the numbers; supported: 1, which keeps it")
    return site.reshaped(wanted)


@translates("Reshape", settings=("shape", "allowzero"), folds=True)
def reshape(site: Site) -> Value | Array:
    """0 copies an axis, -1 is the rest. A first axis of 1 is the batch, whatever its size."""
    wanted = site.integers(1, "a shape") if site.given(1) else [int(n) for n in site.attribute("shape")]
    if site.flag("allowzero") and 0 in wanted:
        raise UnsupportedError("allowzero with a shape that has a 0; supported: without")
    shape = _resolved(wanted, site.shape(0))
    return site.reshaped(shape) if site.varies(0) else site.array(0, "x").reshape(shape)


def _resolved(wanted: list[int], own: Shape) -> Shape:
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1 or any(n == 0 and i >= len(own) for i, n in enumerate(wanted)):
        raise InputError(f"no shape {wanted} for a value of shape {own}")
    shape = [own[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in shape:
        rest = prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = prod(own) // rest if rest else 0
    if prod(shape) != prod(own):
        raise InputError(f"no shape {wanted} for a value of shape {own}")
    return tuple(shape)


@translates("Squeeze", settings=("axes",), folds=True)
def squeeze(site: Site) -> Value | Array:
    """Without axes every axis of 1 goes; a free batch stays."""
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    shape = site.shape(0)
    free = site.varies(0) and site.value(0).batched and not site.single
    if axes is None:
        axes = [i for i, n in enumerate(shape) if n == 1 and not (free and i == 0)]
    places = {site.place(a) for a in axes}
    if any(shape[a] != 1 for a in places):
        raise InputError(f"axes {list(axes)} of a value of shape {shape} are not all 1")
    if free and 0 in places:
        raise BatchAxisError("the batch axis goes; supported: any other axis")
    wanted = tuple(n for i, n in enumerate(shape) if i not in places)
    return site.reshaped(wanted) if site.varies(0) else site.array(0, "x").reshape(wanted)


@translates("Unsqueeze", settings=("axes",), folds=True)
def unsqueeze(site: Site) -> Value | Array:
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes", ())
    rank = site.rank(0) + len(axes)
    places = {a % rank for a in axes if -rank <= a < rank}
    if len(places) != len(axes) or not axes:
        raise InputError(f"new axes {list(axes)} for a value of shape {site.shape(0)}")
    if site.varies(0) and site.value(0).batched and not site.single and 0 in places:
        raise BatchAxisError("an axis in front of the batch; supported: behind it")
    own = iter(site.shape(0))
    wanted = tuple(1 if i in places else next(own) for i in range(rank))
    return site.reshaped(wanted) if site.varies(0) else site.array(0, "x").reshape(wanted)


@translates("Transpose", settings=("perm",), folds=True)
def transpose(site: Site) -> Value | Array:
    """With three axes or more the batch, one example, may move behind the time, as sequence layers want it, and back."""
    axes = tuple(site.attribute("perm", range(site.rank(0))[::-1]))
    if sorted(axes) != list(range(site.rank(0))):
        raise InputError(f"perm {axes} of a value of shape {site.shape(0)}")
    if not site.varying:
        return np.transpose(site.array(0, "x"), axes)
    if axes == tuple(range(len(axes))):
        return site.value(0)
    if site.batched and axes[0] != 0:
        if len(axes) < 3:
            raise BatchAxisError(f"perm {axes} moves the batch axis; supported: 0 in front")
        site = site.opened()
    if site.batched:
        return site.made(Permute(axes), site.name(0))
    found = site.add(Permute((0, *(a + 1 for a in axes))), site.name(0))
    shape = tuple(site.shape(0)[a] for a in axes)
    return Value(found, batched=False) if site.single else site.reshaped(shape, found)
