"""Comparisons, choices and counts of constants: the plumbing by which exporters compute shapes and indices."""

from __future__ import annotations

from math import prod

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.constants import MOST_NUMBERS
from ballproof.networks.onnx_operators.site import Array, Site, Value
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


@translates("Where", folds=True)
def where(site: Site) -> Array:
    """A choice among constants."""
    _constants_only(site, "a choice among constants")
    return np.where(site.array(0, "a condition").astype(bool), site.array(1, "a"), site.array(2, "b"))


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


@translates("Size", folds=True)
def size(site: Site) -> Array:
    """The batch counts as 1."""
    return np.asarray(prod(site.shape(0)), np.int64)


def _constants_only(site: Site, supported: str) -> None:
    if site.varying:
        raise UnsupportedError(f"{site.node.op_type} of a value that depends on the input; supported: {supported}")


@translates("Expand", folds=True)
def expand(site: Site) -> Value | Array:
    """A constant in a larger shape; what varies only to the shape that it has."""
    shape = site.integers(1, "a shape")
    if site.varies(0):
        if np.broadcast_shapes(tuple(shape), site.shape(0)) != site.shape(0):
            raise UnsupportedError(f"Expand of {site.shape(0)} to {shape}; supported: repetition by Concat, or of a constant")
        return site.value(0)
    x = site.array(0, "x")
    if prod(np.broadcast_shapes(tuple(shape), x.shape)) > MOST_NUMBERS:
        raise InputError(f"an expansion to {shape}, expected at most {MOST_NUMBERS} entries")
    return np.array(np.broadcast_to(x, np.broadcast_shapes(tuple(shape), x.shape)))
