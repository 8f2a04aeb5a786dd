"""Parts of a tensor: slices, single entries, entries by a constant index, splits, padding."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ballproof.networks.aten.site import Ref, Site
from ballproof.networks.aten.table import translates
from ballproof.operations.gather import Gather
from ballproof.operations.pad import Pad
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice

Mode = Literal["constant", "reflect", "replicate", "circular"]
MODES: dict[object, Mode] = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "replicate",
    "circular": "circular",
}


@translates("aten.slice.Tensor")
def slice_(site: Site) -> Ref:
    x = site.ref("self")
    if site.result[0] == site.shape(x):
        return x
    axis = site.axis("dim", x)
    size = site.shape(x)[axis - 1]
    start, stop, step = slice(*(site.maybe_integer(n) for n in ("start", "end", "step"))).indices(size)
    return site.add(Slice(axis, start, max(start, stop), step), x)


@translates("aten.narrow.default")
def narrow(site: Site) -> Ref:
    x = site.ref("self")
    axis, start = site.axis("dim", x), site.integer("start")
    start += site.shape(x)[axis - 1] if start < 0 else 0
    return site.add(Slice(axis, start, start + site.integer("length"), 1), x)


@translates("aten.select.int")
def select(site: Site) -> Ref:
    x = site.ref("self")
    return _entry(site, x, site.axis("dim", x), site.integer("index"), "")


def _entry(site: Site, x: Ref, axis: int, index: int, part: str) -> Ref:
    index %= site.shape(x)[axis - 1]
    shape = site.shape(x)
    piece = site.add(Slice(axis, index, index + 1, 1), x, part=f"{part}slice")
    return site.add(Reshape((*shape[: axis - 1], *shape[axis:])), piece, part=part)


@translates("aten.unbind.int")
def unbind(site: Site) -> list[Ref]:
    x = site.ref("self")
    axis = site.axis("dim", x)
    return [_entry(site, x, axis, k, f"part{k}") for k in range(len(site.result))]


@translates(
    "aten.split.Tensor",
    "aten.split.sizes",
    "aten.split_with_sizes.default",
    "aten.chunk.default",
    "aten.tensor_split.sections",
    "aten.tensor_split.indices",
)
def split(site: Site) -> list[Ref]:
    """The exporter knows the size of every part."""
    x = site.ref("self")
    axis = site.axis("dim", x)
    parts, start = [], 0
    for k, shape in enumerate(site.result):
        stop = start + shape[axis - 1]
        parts.append(site.add(Slice(axis, start, stop, 1), x, part=f"part{k}"))
        start = stop
    return parts


@translates("aten.index_select.default")
def index_select(site: Site) -> Ref:
    x = site.ref("self")
    axis = site.axis("dim", x)
    return site.add(Gather(axis), x, _resolved(site, site.ref("index"), site.shape(x)[axis - 1]))


@translates("aten.index.Tensor")
def index(site: Site) -> Ref:
    """x[:, constant]: entries along one axis; an index of several axes gives as many."""
    x, listed = site.ref("self"), site.arguments["indices"]
    assert isinstance(listed, list)
    found = [(axis, i) for axis, i in enumerate(listed) if i is not None]
    if len(found) != 1 or site.varies(found[0][1]):
        raise site.refuse("indexing by several tensors or by the input", "by one constant tensor, along one axis")
    axis, ref = site.inner_axis(found[0][0], x), Ref(found[0][1])
    if not (len(site.shape(ref)) and site.dtype(ref) in (torch.int64, torch.int32)):
        raise site.refuse(f"an index of type {site.dtype(ref)}", "integers")
    part = "" if len(site.shape(ref)) == 1 else "gather"
    gathered = site.add(Gather(axis), x, _resolved(site, ref, site.shape(x)[axis - 1]), part=part)
    return gathered if site.shape(gathered) == site.result[0] else site.add(Reshape(site.result[0]), gathered)


def _resolved(site: Site, index: Ref, size: int) -> Ref:
    """The index as 1-d without negative entries; a fixed one is made so now, a module's own must be so already."""
    values = site.builder.values.get(index)
    if values is None:
        raise site.refuse("an index that is computed from parameters", "a constant index")
    if values.ndim == 1 and values.dtype == torch.int64 and bool((values >= 0).all()):
        return index
    if index in site.own:
        raise site.refuse(f"the index `{index}`, live, with negative entries or several axes", "1-d, entries >= 0")
    return site.index(_positive(values, size), "index")


def _positive(values: Tensor, size: int) -> Tensor:
    flat = values.reshape(-1).long()
    return torch.where(flat < 0, flat + size, flat)


@translates("aten.pad.default")
def pad(site: Site) -> Ref:
    mode = MODES.get(site.arguments["mode"])
    if mode is None:
        raise site.refuse(f"padding mode `{site.arguments['mode']}`", ", ".join(MODES.values()))
    value = site.number("value") if site.given("value") else 0.0
    return _padded(site, mode, float(value), site.ints("pad"))


@translates("aten.constant_pad_nd.default")
def constant_pad(site: Site) -> Ref:
    return _padded(site, "constant", float(site.number("value")), site.ints("pad"))


@translates("aten.reflection_pad1d.default", "aten.reflection_pad2d.default", "aten.reflection_pad3d.default")
def reflection_pad(site: Site) -> Ref:
    return _padded(site, "reflect", 0.0, site.ints("padding"))


@translates("aten.replication_pad1d.default", "aten.replication_pad2d.default", "aten.replication_pad3d.default")
def replication_pad(site: Site) -> Ref:
    return _padded(site, "replicate", 0.0, site.ints("padding"))


def _padded(site: Site, mode: Mode, value: float, widths: tuple[int, ...]) -> Ref:
    """torch lists (before, after) from the last axis; negative widths cut."""
    x = site.ref("self")
    pairs = list(reversed(list(zip(widths[::2], widths[1::2], strict=True))))
    if len(pairs) > len(site.shape(x)):
        raise site.refuse("padding of the batch axis", "padding of the axes 1 and on")
    pairs = [(0, 0)] * (len(site.shape(x)) - len(pairs)) + pairs
    for k, (before, after) in enumerate(pairs):
        if before < 0 or after < 0:
            size = site.shape(x)[k]
            x = site.add(Slice(k + 1, max(0, -before), size - max(0, -after), 1), x, part=f"cut{k + 1}")
    grown = tuple((max(0, b), max(0, a)) for b, a in pairs)
    return site.add(Pad(grown, mode, value), x) if any(b or a for b, a in grown) else x
