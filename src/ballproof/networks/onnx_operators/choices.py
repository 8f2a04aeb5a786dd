"""Comparisons, choices and counts of constants: the plumbing by which exporters compute shapes and indices."""

from __future__ import annotations

from math import prod

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Array, Site
from ballproof.networks.onnx_operators.table import translates

OF_TWO = {
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}


@translates(*OF_TWO, folds=True)
def comparison(site: Site) -> Array:
    """Of constants alone: what depends on the input would be a jump."""
    _constants_only(site, "sign, relu, clip, max, min")
    return np.asarray(OF_TWO[site.node.op_type](site.array(0, "a"), site.array(1, "b")))


@translates("Not", folds=True)
def negation(site: Site) -> Array:
    _constants_only(site, "a constant")
    return np.logical_not(site.array(0, "a"))


@translates("NonZero", folds=True)
def places_of_truth(site: Site) -> Array:
    _constants_only(site, "the values themselves")
    return np.asarray(np.nonzero(site.array(0, "x")), np.int64)


@translates("OneHot", settings=("axis",), folds=True)
def one_hot(site: Site) -> Array:
    """Of constant places: the second value of `values` there, the first elsewhere."""
    _constants_only(site, "constant places")
    count, (off, on) = int(site.number(1, "a depth")), site.array(2, "values")
    places = site.array(0, "places")[..., None].astype(np.int64)
    if not 0 < count * max(1, places.size) <= MOST_NUMBERS:
        raise InputError(f"{places.size} places of {count}; expected at most {MOST_NUMBERS} numbers")
    found = np.where((places == np.arange(count)) | (places + count == np.arange(count)), on, off)
    axis = site.attribute("axis", -1)
    return np.asarray(np.moveaxis(found, -1, axis), site.array(2, "values").dtype)


@translates("Mod", settings=("fmod",), folds=True)
def remainder(site: Site) -> Array:
    """With the sign of the divisor, or with `fmod` that of the dividend."""
    _constants_only(site, "constants")
    a, b = site.array(0, "a"), site.array(1, "b")
    if not b.all():
        raise InputError("a remainder of a division by zero")
    return np.asarray(np.fmod(a, b) if site.attribute("fmod", 0) else np.mod(a, b))


@translates("Range", folds=True)
def numbers(site: Site) -> Array:
    """start, start + delta, ... below limit."""
    _constants_only(site, "constants")
    start, limit, delta = (site.array(k, n).reshape(-1)[0] for k, n in enumerate(("start", "limit", "delta")))
    if delta == 0 or abs((limit - start) / delta) > MOST_NUMBERS:
        raise InputError(f"a range from {start} to {limit} by {delta}; expected at most {MOST_NUMBERS} numbers")
    return np.arange(start, limit, delta, dtype=np.asarray(start).dtype)


@translates("ReduceProd", settings=("axes", "keepdims", "noop_with_empty_axes"), folds=True)
def reduced_product(site: Site) -> Array:
    """Of constants alone: a number of cells, as exporters count them."""
    _constants_only(site, "of constants, products of two values, ReduceSum")
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    if not axes and site.flag("noop_with_empty_axes"):
        return site.array(0, "x")
    return np.asarray(np.prod(site.array(0, "x"), tuple(axes) if axes else None, keepdims=site.flag("keepdims", True)))


@translates("Size", folds=True)
def size(site: Site) -> Array:
    """The batch counts as 1."""
    return np.asarray(prod(site.shape(0)), np.int64)


def _constants_only(site: Site, supported: str) -> None:
    if site.varying:
        raise UnsupportedError(f"{site.node.op_type} of a value that depends on the input; supported: {supported}")
