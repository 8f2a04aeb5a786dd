"""Parts of values, put together or enlarged."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import prod

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.pad import Pad
from ballproof.operations.slice import Slice

ENDLESS = 2**31 - 1
"""A stop that exporters write for the end of an axis, whatever its size."""

MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@translates("Concat", settings=("axis",), folds=True)
def concat(site: Site) -> Value | Array:
    count = range(len(site.node.input))
    axis = site.attribute("axis", 1)
    if not site.varying:
        return np.concatenate([site.array(i, "a part") for i in count], axis)
    shapes = [site.shape(i) for i in count]
    if len({len(s) for s in shapes}) != 1:
        raise InputError(f"parts of shapes {shapes}, expected equal ranks")
    if site.batched and any(s[0] != 1 for s in shapes):
        raise BatchAxisError(f"parts of shapes {shapes} differ in the batch; supported: constants with a batch of 1")
    return site.made(Concat(site.axis(axis, site.varying[0])), *(site.name(i) for i in count))


@translates("Slice", settings=("starts", "ends", "axes"), folds=True)
def cut(site: Site) -> Value | Array:
    """Its settings are attributes before opset 10 and arguments after."""
    if site.opset < 10:
        starts, ends, axes = site.attribute("starts"), site.attribute("ends"), site.attribute("axes")
        steps = None
    else:
        starts, ends = site.integers(1, "starts"), site.integers(2, "ends")
        axes = site.integers(3, "axes") if site.given(3) else None
        steps = site.integers(4, "steps") if site.given(4) else None
    axes = list(range(len(starts))) if axes is None else axes
    wanted = {site.place(a): slice(*s) for a, *s in zip(axes, starts, ends, steps or [1] * len(starts), strict=True)}
    if len(wanted) != len(axes):
        raise InputError(f"axes {list(axes)} name one axis twice")
    if not site.varies(0):
        return site.array(0, "x")[tuple(wanted.get(i, slice(None)) for i in range(site.rank(0)))]
    found, batched = site.name(0), site.value(0).batched
    if batched and not site.single and 0 in wanted and not _whole(wanted.pop(0)):
        raise BatchAxisError("it cuts the batch axis; supported: any other axis")
    for place in sorted(wanted):
        found = _slice(site, found, place, range(site.shape(0)[place])[wanted[place]])
    return Value(found, batched)


def _whole(wanted: slice) -> bool:
    """Whether a slice keeps an axis of any size."""
    return bool(wanted.start == 0 and wanted.stop >= ENDLESS and wanted.step == 1)


def _slice(site: Site, x: str, place: int, places: range) -> str:
    if places == range(site.shape(0)[place]):
        return x
    axis = site.axis(place)
    if not places:
        raise UnsupportedError(f"nothing is left of axis {place} of a value of shape {site.shape(0)}")
    if places.step < 0:
        return site.add(Gather(axis), x, site.tensor(np.asarray(places, np.int64), f"{site.label}.index"))
    return site.add(Slice(axis, places.start, places.stop, places.step), x)


@translates("Gather", settings=("axis",), folds=True)
def gather(site: Site) -> Value | Array:
    """Constant places in any shape; a single place drops the axis."""
    index, place = site.array(1, "an index"), site.place(site.attribute("axis", 0))
    shape = site.shape(0)
    if ((index < -shape[place]) | (index >= shape[place])).any():
        raise InputError(f"places {index.reshape(-1).tolist()[:9]} of axis {place} of a value of shape {shape}")
    if index.size * (prod(shape) // max(1, shape[place])) > MOST_NUMBERS:
        raise InputError(f"{index.size} places of a value of shape {shape}, expected at most {MOST_NUMBERS} entries")
    if not site.varies(0):
        return np.asarray(np.take(site.array(0, "x"), index, place))
    places, axis = (index % shape[place]).astype(np.int64), site.axis(place)
    wanted = (*shape[:place], *places.shape, *shape[place + 1 :])
    if places.size == 1:
        start = int(places.reshape(()))
        return site.reshaped(wanted, site.add(Slice(axis, start, start + 1), site.name(0), part="place"))
    found = site.add(Gather(axis), site.name(0), site.tensor(places.reshape(-1), f"{site.label}.index"))
    return site.reshaped(wanted, found)


@translates("Split", settings=("axis", "split", "num_outputs"), folds=True)
def split(site: Site) -> tuple[Value | Array, ...]:
    """Parts of given sizes, or of equal ones, the last of which may be smaller from opset 18 on."""
    place, parts = site.place(site.attribute("axis", 0)), len(site.node.output)
    size, axis = site.shape(0)[place], site.axis(place) if site.varies(0) else place
    sizes = site.integers(1, "sizes") if site.given(1) else site.attribute("split")
    if sizes is None:
        each = -(-size // parts)
        sizes = [min(each, size - each * i) for i in range(parts)] if site.opset >= 18 else [size // parts] * parts
    if len(sizes) != parts or sum(sizes) != size or min(sizes) <= 0:
        raise InputError(f"parts of {list(sizes)} for {parts} results from an axis of {size}")
    ends = list(pairwise(accumulate(sizes, initial=0)))
    if not site.varies(0):
        return tuple(np.take(site.array(0, "x"), range(a, b), place) for a, b in ends)
    if parts == 1:
        return (site.value(0),)
    made = [site.add(Slice(axis, a, b), site.name(0), part=str(i)) for i, (a, b) in enumerate(ends)]
    return tuple(Value(node, site.value(0).batched) for node in made)


@translates("Pad", settings=("mode", "pads", "value"))
def pad(site: Site) -> Value:
    """Its settings are attributes before opset 11 and arguments after. A width below 0 cuts places off."""
    rank, mode = site.rank(0), site.attribute("mode", "constant")
    widths = _widths(site, rank)
    if mode not in MODES:
        raise UnsupportedError(f"mode {mode!r}; supported: {', '.join(MODES)}")
    if mode != "constant" and min(min(w) for w in widths) < 0:
        raise UnsupportedError(f"pads {widths} below 0 in mode {mode!r}; supported: in mode 'constant'")
    value = site.attribute("value", 0.0) if site.opset < 11 else site.number(2, "a value") if site.given(2) else 0.0
    if not np.isfinite(value):
        raise InputError(f"the value {value} for padding is not finite")
    if not any(any(w) for w in widths):
        return site.value(0)
    if site.batched and any(widths[0]):
        raise BatchAxisError(f"pads {widths} touch the batch axis; supported: any other axis")
    x = _cut_ends(site, widths)
    added = tuple((max(0, b), max(0, a)) for b, a in (widths[1:] if site.batched else widths))
    return site.made(Pad(added, MODES[mode], value), x) if any(map(any, added)) else Value(x, site.batched)  # type: ignore[arg-type]


def _cut_ends(site: Site, widths: tuple[tuple[int, int], ...]) -> str:
    x = site.name(0)
    for place, ((before, after), size) in enumerate(zip(widths, site.shape(0), strict=True)):
        x = _slice(site, x, place, range(max(0, -before), size + min(0, after))) if min(before, after) < 0 else x
    return x


def _widths(site: Site, rank: int) -> tuple[tuple[int, int], ...]:
    pads = site.integers(1, "pads") if site.opset >= 11 else [int(n) for n in site.attribute("pads")]
    axes = [site.place(a) for a in site.integers(3, "axes")] if site.given(3) else list(range(rank))
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise InputError(f"pads {pads} for axes {axes}")
    named = dict(zip(axes, zip(pads[: len(axes)], pads[len(axes) :], strict=True), strict=True))
    return tuple(named.get(i, (0, 0)) for i in range(rank))
