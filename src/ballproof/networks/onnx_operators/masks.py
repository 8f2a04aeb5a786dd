"""Choices by a constant mask, and values at -infinity, of which `Value.masked` keeps the places until a softmax comes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.aligned import aligned
from ballproof.networks.onnx_operators.site import Array, BatchAxisError, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.arithmetic import Add, Multiply

ENDLESS = -np.inf


def has_masks(site: Site) -> bool:
    """Whether an argument is -infinity at some places."""
    return any(_hidden(site, i) is not None for i in range(len(site.node.input)) if site.given(i))


def cleaned(site: Site) -> Site:
    """The same node with finite values in place of the masked ones."""
    constants = dict(site.constants)
    for name in site.node.input:
        if name in constants and np.issubdtype(constants[name].dtype, np.floating):
            constants[name] = np.where(constants[name] == ENDLESS, 0, constants[name]).astype(constants[name].dtype)
    known = {**site.known, **{n: replace(site.known[n], masked=None) for n in site.node.input if n in site.known}}
    return replace(site, constants=constants, known=known)


def masked_where_any(site: Site, found: Value) -> Value:
    """The result of a node, masked where an argument is: a sum."""
    return _masked(site, found, [h for i in range(len(site.node.input)) if (h := _hidden(site, i)) is not None])


def _hidden(site: Site, i: int) -> Array | None:
    """The masked places of argument i, in the file's shape; None where there are none."""
    if not site.varies(i):
        array = site.array(i, "a value")
        places = array == ENDLESS if np.issubdtype(array.dtype, np.floating) else np.zeros(1, bool)
        return places if places.any() else None
    value = site.value(i)
    return value.masked if value.masked is None or not value.batched else value.masked[None]


def _masked(site: Site, found: Value, hidden: list[Array]) -> Value:
    own = site.builder.shape(found.node)
    shape = (1, *own) if found.batched else own
    places = np.zeros(shape, bool)
    for h in hidden:
        places |= np.broadcast_to(h, shape)
    places = places[0] if found.batched else places
    return replace(found, masked=places) if places.any() else found


@translates("Where", folds=True, masked=True)
def where(site: Site) -> Value | Array:
    """mask * a + (1 - mask) * b: exact, as a mask is 0 or 1."""
    condition = site.array(0, "a condition").astype(bool)
    if not site.varying:
        return np.where(condition, site.array(1, "a"), site.array(2, "b"))
    rank = max(condition.ndim, site.rank(1), site.rank(2))
    if site.batched and condition.ndim == rank and condition.shape[0] != 1:
        raise BatchAxisError(f"a mask of shape {condition.shape} differs between examples")
    clean = cleaned(site)
    names = aligned(clean, (1, 2), rank)
    terms = [_part(clean, i, names[i - 1], condition == (i == 1)) for i in (1, 2)]
    found = Value(site.add(Add(), *sorted(terms, key=lambda t: not site.builder.nodes[t].varies)), site.batched)
    hidden = [(h, condition == (i == 1)) for i in (1, 2) if (h := _hidden(site, i)) is not None]
    return _masked(site, found, [h & keep for h, keep in hidden])


def _part(site: Site, i: int, name: str, keep: Array) -> str:
    """Argument i where it is kept, 0 elsewhere."""
    if not site.varies(i):
        value = site.array(i, "a value")
        return site.tensor(np.where(keep, value, 0).astype(value.dtype), f"{site.label}.constant_{i}")
    return site.add(Multiply(), name, site.tensor(keep.astype(np.float32), f"{site.label}.mask_{i}"), part=f"part_{i}")


@translates("Trilu", settings=("upper",), folds=True)
def triangle(site: Site) -> Value | Array:
    """The triangle of the last two axes, 0 elsewhere."""
    function = np.triu if site.flag("upper", True) else np.tril
    diagonal = int(site.number(1, "a diagonal")) if site.given(1) else 0
    if not site.varies(0):
        return np.asarray(function(site.array(0, "x"), diagonal))
    if site.rank(0) < 2 or (site.rank(0) == 2 and site.batched):
        raise BatchAxisError("a triangle of the batch axis; supported: of two other axes")
    ones = function(np.ones(site.shape(0)[-2:], np.float32), diagonal)
    return site.made(Multiply(), site.name(0), site.tensor(ones, f"{site.label}.triangle"))


@translates("IsNaN", folds=True)
def is_nan(site: Site) -> Array:
    """What depends on the input is a real number: nowhere NaN."""
    if site.varying:
        return np.zeros(site.shape(0), bool)
    return np.isnan(site.array(0, "x"))


@translates("IsInf", settings=("detect_negative", "detect_positive"), folds=True)
def is_infinite(site: Site) -> Array:
    if site.varying:
        raise UnsupportedError("IsInf of a value that depends on the input; supported: of a constant")
    x = site.array(0, "x")
    up, down = (x == -ENDLESS) & site.flag("detect_positive", True), (x == ENDLESS) & site.flag("detect_negative", True)
    return np.asarray(up | down)
