"""Operators that only move numbers, repeat or drop some: one gather of the places, read off the numbers of the places."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import composed_more
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.reshape import Reshape


def moved(site: Site, sources: tuple[int, ...], function: Callable[..., Array]) -> Value | Array:
    """The result of a function that moves the numbers of these arguments, whose batch is one example."""
    if not any(site.varies(i) for i in sources):
        return np.asarray(function(*(site.array(i, "a value") for i in sources)))
    shapes = [site.shape(i) for i in sources]
    starts = np.cumsum([0, *(prod(s) for s in shapes)])
    places = function(*(start + np.arange(prod(s)).reshape(s) for s, start in zip(shapes, starts, strict=False)))
    if not places.size or places.size > MOST_NUMBERS:
        raise UnsupportedError(f"a result of shape {places.shape}; supported: 1 to {MOST_NUMBERS} numbers")
    if site.batched and places.shape[:1] != (1,):
        raise BatchAxisError(f"it touches the batch axis: a result of shape {places.shape} for an example")
    flat = [_flat(site, i) for i in sources]
    joined = flat[0] if len(flat) == 1 else site.add(Concat(1), *flat, part="joined")
    index = site.tensor(places.reshape(-1).astype(np.int64), f"{site.label}.places")
    found = site.add(Gather(1), joined, index, part="picked")
    shape = places.shape[1:] if site.batched else places.shape
    return Value(site.add(Reshape(shape), found), site.batched)


def _flat(site: Site, i: int) -> str:
    if not site.varies(i):
        return site.tensor(site.array(i, "a value").reshape(1, -1), f"{site.label}.flat_{i}")
    return site.add(Reshape((prod(site.example(i)),)), site.name(i), part=f"flat_{i}")


@translates("DepthToSpace", settings=("blocksize", "mode"), folds=True)
def depth_to_space(site: Site) -> Value | Array:
    block, mode = _block(site), site.attribute("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise UnsupportedError(f"mode {mode!r}; supported: DCR, CRD")

    def function(x: Array) -> Array:
        n, c, h, w = x.shape
        parts, axes = ((block, block, c // block**2), (0, 3, 4, 1, 5, 2))
        if mode == "CRD":
            parts, axes = (c // block**2, block, block), (0, 1, 4, 2, 5, 3)
        return x.reshape(n, *parts, h, w).transpose(axes).reshape(n, c // block**2, h * block, w * block)

    return moved(site, (0,), function)


@translates("SpaceToDepth", settings=("blocksize",), folds=True)
def space_to_depth(site: Site) -> Value | Array:
    block = _block(site)

    def function(x: Array) -> Array:
        n, c, h, w = x.shape
        cells = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
        return cells.reshape(n, c * block**2, h // block, w // block)

    return moved(site, (0,), function)


def _block(site: Site) -> int:
    block = int(site.attribute("blocksize", 0))
    if site.rank(0) != 4 or block < 1:
        raise InputError(f"blocksize {block} for a value of shape {site.shape(0)}, expected four axes and at least 1")
    return block


@translates("Tile", folds=True)
def tile(site: Site) -> Value | Array:
    repeats = site.integers(1, "repeats")
    if len(repeats) != site.rank(0):
        raise InputError(f"repeats {repeats} for a value of shape {site.shape(0)}")
    if site.varies(0) and site.batched and repeats[0] != 1:
        raise BatchAxisError(f"repeats {repeats} of the batch axis; supported: 1 in front")
    if not 0 < prod(repeats) * prod(site.shape(0)) <= MOST_NUMBERS:
        raise InputError(f"repeats {repeats} of a value of shape {site.shape(0)}, expected at most {MOST_NUMBERS} entries")
    return moved(site, (0,), lambda x: np.tile(x, repeats))


@translates("Expand", folds=True)
def expand(site: Site) -> Value | Array:
    """Broadcast to a larger shape; the batch is never repeated."""
    wanted = tuple(site.integers(1, "a shape"))
    shape = np.broadcast_shapes(wanted, site.shape(0))
    if prod(shape) > MOST_NUMBERS:
        raise InputError(f"an expansion to {shape}, expected at most {MOST_NUMBERS} entries")
    if site.varies(0) and shape == site.shape(0):
        return site.value(0)
    if site.varies(0) and site.batched and (len(shape) != site.rank(0) or shape[0] != 1):
        raise BatchAxisError(f"an expansion of {site.shape(0)} to {shape} repeats the batch")
    return moved(site, (0,), lambda x: np.array(np.broadcast_to(x, shape)))


@translates("GatherElements", settings=("axis",), folds=True)
def gather_elements(site: Site) -> Value | Array:
    index, place = site.array(1, "an index"), site.place(site.attribute("axis", 0))
    if site.varies(0) and site.batched and (place == 0 or index.shape[0] != 1):
        raise BatchAxisError("it gathers along the batch axis; supported: any other axis")
    return moved(site, (0,), lambda x: _along(x, index, place))


def _along(x: Array, index: Array, place: int) -> Array:
    """Axes other than `place` are cut to the index's size, as in ONNX."""
    cut = tuple(slice(None) if i == place else slice(n) for i, n in enumerate(index.shape))
    return np.take_along_axis(x[cut], _counted(index, x.shape[place]), place)


def _counted(index: Array, size: int | Array) -> Array:
    if ((index < -np.asarray(size)) | (index >= size)).any():
        raise InputError(f"places outside an axis of {size}")
    return np.asarray(index % size)


@translates("GatherND", settings=("batch_dims",), folds=True)
def gather_nd(site: Site) -> Value | Array:
    """Whole parts of the value by their places in the first axes."""
    index, batch = site.array(1, "an index"), int(site.attribute("batch_dims", 0))
    if batch > 1 or (batch == 1 and index.shape[0] != 1):
        raise UnsupportedError(f"batch_dims {batch} with an index of shape {index.shape}; supported: 0, or 1 for one example")
    if site.varies(0) and site.batched and batch == 0:
        raise BatchAxisError("it gathers along the batch axis; supported: batch_dims=1")

    def function(x: Array) -> Array:
        inner, places = (x[0], index[0]) if batch else (x, index)
        found = inner[_tuple(inner, places)]
        return found[None] if batch else found

    return moved(site, (0,), function)


def _tuple(x: Array, index: Array) -> tuple[Array, ...]:
    count = index.shape[-1]
    return tuple(np.moveaxis(_counted(index, np.asarray(x.shape[:count])), -1, 0))


@translates("ScatterND", settings=("reduction",), folds=True)
def scatter_nd(site: Site) -> Value | Array:
    """The value with some parts replaced."""
    _no_reduction(site)
    index = site.array(1, "an index")
    if site.batched:
        raise BatchAxisError("it writes along the batch axis; supported: files with one example at a time")

    def function(x: Array, updates: Array) -> Array:
        found = x.copy()
        found[_tuple(x, index)] = updates
        return found

    return moved(site, (0, 2), function)


@translates("ScatterElements", settings=("axis", "reduction"), folds=True)
def scatter_elements(site: Site) -> Value | Array:
    _no_reduction(site)
    index, place = site.array(1, "an index"), site.place(site.attribute("axis", 0))
    if site.batched and (place == 0 or index.shape[0] != 1 or site.shape(0)[0] != 1 or site.shape(2)[0] != 1):
        raise BatchAxisError("it writes along the batch axis; supported: any other axis")

    def function(x: Array, updates: Array) -> Array:
        found, grid = x.copy(), np.indices(index.shape)
        grid[place] = _counted(index, x.shape[place])
        found[tuple(grid)] = updates
        return found

    return moved(site, (0, 2), function)


def _no_reduction(site: Site) -> None:
    if site.attribute("reduction", "none") != "none":
        raise UnsupportedError(f"reduction {site.attribute('reduction')!r}; supported: none")


@translates("CumSum", settings=("exclusive", "reverse"), folds=True)
def running_sum(site: Site) -> Value | Array:
    """One axis through a triangle of ones."""
    axis, exclusive = int(site.number(1, "an axis")), site.flag("exclusive")
    size = site.shape(0)[site.place(axis)]
    triangle = np.tril(np.ones((size, size), np.float32), -1 if exclusive else 0)
    triangle = triangle.T if site.flag("reverse") else triangle
    if not site.varies(0):
        x, place = site.array(0, "x"), site.place(axis)
        return np.asarray(np.moveaxis(np.moveaxis(x, place, -1) @ triangle.T.astype(x.dtype), -1, place))
    matrix = site.tensor(triangle, f"{site.label}.triangle")
    return Value(composed_more.through_matrix(OnnxSketch(site), site.name(0), site.axis(axis), matrix), site.batched)
