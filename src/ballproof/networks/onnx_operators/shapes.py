"""Shapes, places, constants."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.site import Array, Site
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.pad import Pad
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice


@translates("Identity", "Dropout")
def identity(site: Site) -> str | Array:
    """Dropout in inference does nothing; a file that was left in training mode is refused."""
    if site.node.op_type == "Dropout" and site.given(2) and bool(site.array(2, "a mode")):
        raise UnsupportedError("Dropout in training mode; supported: inference")
    return site.name(0) if site.varies(0) else site.array(0, "x")


@translates("Constant")
def constant(site: Site) -> Array:
    """All forms of a value."""
    (attribute,) = site.node.attribute
    value: Any = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return numpy_helper.to_array(value)
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        raise UnsupportedError(f"a constant by `{attribute.name}`; supported: value, {', '.join(kinds)}")
    return np.asarray(value, kinds[attribute.name])


@translates("ConstantOfShape")
def constant_of_shape(site: Site) -> Array:
    value = site.attribute("value")
    fill = numpy_helper.to_array(value) if value is not None else np.zeros(1, np.float32)
    return np.full(site.integers(0, "a shape"), fill.reshape(-1)[0], fill.dtype)


@translates("Shape")
def shape(site: Site) -> Array:
    """The batch counts as 1: what is computed from it is a shape whose first axis is the batch."""
    site.only("start", "end")
    whole = (1, *site.shape(0)) if site.varies(0) else site.shape(0)
    return np.asarray(whole[site.attribute("start", 0) : site.attribute("end", None)], np.int64)


@translates("Cast")
def cast(site: Site) -> str | Array:
    to = helper.tensor_dtype_to_np_dtype(site.attribute("to"))
    if site.varies(0):
        if not np.issubdtype(to, np.floating):
            raise UnsupportedError(f"a cast of a varying value to {to}; supported: to floats")
        return site.name(0)
    return site.array(0, "x").astype(to)


@translates("Flatten")
def flatten(site: Site) -> str | Array:
    site.only("axis")
    axis = site.attribute("axis", 1)
    if not site.varies(0):
        x = site.array(0, "x")
        return x.reshape(int(np.prod(x.shape[:axis])), -1)
    if (axis + site.rank(0) if axis < 0 else axis) != 1:
        raise UnsupportedError(f"Flatten at axis {axis}; supported: 1, which keeps the batch")
    return _reshaped(site, (int(np.prod(site.shape(0))),))


def _reshaped(site: Site, shape: tuple[int, ...]) -> str:
    return site.name(0) if shape == site.shape(0) else site.add(Reshape(shape), site.name(0))


@translates("Reshape")
def reshape(site: Site) -> str | Array:
    """A first axis of 1, 0 or -1 is the batch; a shape without a batch axis for one example is taken as one."""
    site.only("shape", "allowzero")
    wanted = site.integers(1, "a shape") if site.given(1) else list(site.attribute("shape"))
    if site.attribute("allowzero", 0):
        raise UnsupportedError("Reshape with allowzero; supported: without")
    if not site.varies(0):
        x = site.array(0, "x")
        return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(wanted)])
    own = (1, *site.shape(0))
    full = [own[i] if n == 0 else n for i, n in enumerate(wanted)]
    count = int(np.prod(own))
    if full.count(-1) == 1:
        rest = int(np.prod([n for n in full if n != -1]))
        if full[0] == -1 and rest == count:
            full[0] = 1
        elif rest and count % rest == 0:
            full[full.index(-1)] = count // rest
    if not full or full[0] != 1 or int(np.prod(full)) != count:
        raise UnsupportedError(f"Reshape of (batch, {site.shape(0)}) to {wanted} moves the batch axis; supported: batch first")
    return _reshaped(site, tuple(full[1:]))


@translates("Squeeze", "Unsqueeze")
def squeeze(site: Site) -> str | Array:
    site.only("axes")
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    if not site.varies(0):
        x = site.array(0, "x")
        if site.node.op_type == "Squeeze":
            return np.squeeze(x, tuple(axes) if axes is not None else None)
        return np.expand_dims(x, tuple(axes))
    if site.node.op_type == "Squeeze":
        own = site.shape(0)
        at = {site.axis(a) for a in axes} if axes is not None else {i + 1 for i, n in enumerate(own) if n == 1}
        return _reshaped(site, tuple(n for i, n in enumerate(own) if i + 1 not in at))
    rank = site.rank(0) + len(axes)
    at = {a + rank if a < 0 else a for a in axes}
    if 0 in at:
        raise UnsupportedError("Unsqueeze in front of the batch; supported: behind it")
    rest = iter(site.shape(0))
    return site.add(Reshape(tuple(1 if i in at else next(rest) for i in range(1, rank))), site.name(0))


@translates("Transpose")
def transpose(site: Site) -> str | Array:
    axes = tuple(site.attribute("perm", range(site.rank(0))[::-1]))
    if not site.varies(0):
        return site.array(0, "x").transpose(axes)
    return site.name(0) if axes == tuple(range(len(axes))) else site.add(Permute(axes), site.name(0))


@translates("Concat")
def concat(site: Site) -> str | Array:
    count = range(len(site.node.input))
    varying = [i for i in count if site.varies(i)]
    if not varying:
        return np.concatenate([site.array(i, "a part") for i in count], site.attribute("axis", 1))
    axis = site.axis(site.attribute("axis", 1), varying[0])
    for i in count:
        if site.rank(i) != site.rank(varying[0]) or (not site.varies(i) and site.shape(i)[0] != 1):
            raise UnsupportedError(f"Concat of a part of shape {site.shape(i)}; supported: equal ranks, constants with batch 1")
    return site.add(Concat(axis), *(site.name(i) for i in count))


@translates("Slice")
def cut(site: Site) -> str | Array:
    if site.opset < 10:
        starts, ends = list(site.attribute("starts")), list(site.attribute("ends"))
        axes, steps = list(site.attribute("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = site.integers(1, "starts"), site.integers(2, "ends")
        axes = site.integers(3, "axes") if site.given(3) else list(range(len(starts)))
        steps = site.integers(4, "steps") if site.given(4) else [1] * len(starts)
    if not site.varies(0):
        x = site.array(0, "x")
        index = [slice(None)] * x.ndim
        for a, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index[a] = slice(start, end, step)
        return x[tuple(index)]
    found = site.name(0)
    for a, start, end, step in zip(axes, starts, ends, steps, strict=True):
        found = _slice(site, found, a, slice(start, end, step))
    return found


def _slice(site: Site, x: str, axis: int, wanted: slice) -> str:
    own = site.builder.shape(x)
    at = axis + len(own) + 1 if axis < 0 else axis
    size = 1 if at == 0 else own[at - 1]
    places = range(size)[wanted]
    if len(places) == size and places.step == 1:
        return x
    if at == 0:
        raise UnsupportedError("Slice of the batch axis; supported: any other axis")
    if places.step < 0:
        return site.add(Gather(at), x, site.tensor(np.asarray(places, np.int64), f"{site.label}.index"))
    return site.add(Slice(at, places.start, places.stop, places.step), x)


@translates("Gather")
def gather(site: Site) -> str | Array:
    """Constant places; a single place drops the axis."""
    axis, index = site.attribute("axis", 0), site.array(1, "an index")
    if not site.varies(0):
        return np.take(site.array(0, "x"), index, axis)
    at, own = site.axis(axis), site.shape(0)
    places = np.where(index < 0, index + own[at - 1], index).astype(np.int64)
    if places.ndim > 1:
        raise UnsupportedError(f"Gather by an index of shape {places.shape}; supported: a number or a list")
    found = site.add(Gather(at), site.name(0), site.tensor(places.reshape(-1), f"{site.label}.index"), part="places")
    if places.ndim == 1:
        return found
    return site.add(Reshape(own[: at - 1] + own[at:]), found)


@translates("Split")
def split(site: Site) -> tuple[str | Array, ...]:
    if not site.varies(0):
        raise UnsupportedError("Split of a constant; supported: of a varying value")
    site.only("axis", "split", "num_outputs")
    axis = site.axis(site.attribute("axis", 0))
    size, parts = site.shape(0)[axis - 1], len(site.node.output)
    sizes = site.integers(1, "sizes") if site.given(1) else site.attribute("split")
    if not sizes:
        each = -(-size // parts)
        sizes = [min(each, size - each * i) for i in range(parts)]
    starts = np.cumsum([0, *sizes])
    ends = pairwise(starts)
    return tuple(site.add(Slice(axis, int(a), int(b)), site.name(0), part=str(i)) for i, (a, b) in enumerate(ends))


@translates("Pad")
def pad(site: Site) -> str:
    site.only("mode", "pads", "value", "paddings")
    pads = site.integers(1, "pads") if site.opset >= 11 else list(site.attribute("pads"))
    value = site.attribute("value", 0.0)
    if site.opset >= 11 and site.given(2):
        value = float(site.array(2, "a value").reshape(-1)[0])
    if site.given(3):
        axes, whole = site.integers(3, "axes"), [0] * (2 * site.rank(0))
        for i, a in enumerate(axes):
            whole[a], whole[a + site.rank(0)] = pads[i], pads[i + len(axes)]
        pads = whole
    rank = site.rank(0)
    widths = tuple(zip(pads[:rank], pads[rank:], strict=True))
    if widths[0] != (0, 0) or min(pads) < 0:
        raise UnsupportedError(f"pads {pads}; supported: none on the batch and none below 0")
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}.get(
        site.attribute("mode", "constant")
    )
    if mode is None:
        raise UnsupportedError(f"Pad with mode {site.attribute('mode')!r}; supported: constant, reflect, edge, wrap")
    return site.add(Pad(widths[1:], mode, value), site.name(0))  # type: ignore[arg-type]
