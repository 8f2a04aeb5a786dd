"""Softmax, maxima, norms, normalisation by the input's own statistics."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import torch

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import composed, composed_more
from ballproof.networks.onnx_operators.aligned import aligned
from ballproof.networks.onnx_operators.site import Array, Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.arithmetic import Add, Multiply
from ballproof.operations.log_sum_exp import LogSumExp
from ballproof.operations.power import Power
from ballproof.operations.reshape import Reshape
from ballproof.operations.softmax import Softmax
from ballproof.operations.sum import Sum

SETTINGS = ("axes", "keepdims", "noop_with_empty_axes")


@translates("Softmax", settings=("axis",), masked=True)
def softmax(site: Site) -> Value:
    """Masked places are left out, which is exact: their share is 0."""
    masked = site.value(0).masked
    if masked is None:
        return _softmax(site)
    first = site.axis(int(site.attribute("axis", 1 if site.opset < 13 else -1)))
    if site.opset < 13 and first != masked.ndim:
        raise UnsupportedError("a softmax over several axes with a mask; supported: over the last")
    found = composed_more.softmax_of_some(OnnxSketch(site), site.name(0), first, torch.from_numpy(masked))
    return Value(found, site.batched)


@translates("LogSoftmax", settings=("axis",))
def log_softmax(site: Site) -> Value:
    return _softmax(site)


def _softmax(site: Site) -> Value:
    """Before opset 13 all axes from the given one on are taken as one."""
    old = site.opset < 13
    first = site.axis(int(site.attribute("axis", 1 if old else -1)))
    x = site.name(0)
    shape = site.builder.shape(x)
    flat = old and first != len(shape)
    if flat:
        x = site.add(Reshape((*shape[: first - 1], prod(shape[first - 1 :]))), x, part="flat")
    if site.node.op_type == "Softmax":
        found = site.add(Softmax(first), x, part="softmax" if flat else "")
    else:
        found = composed.log_softmax(OnnxSketch(site), x, first, "log_softmax" if flat else "")
    return Value(site.add(Reshape(shape), found) if flat else found, site.batched)


def _axes(site: Site) -> tuple[tuple[int, ...], bool]:
    """The axes of a reduction as in the graph, in order, and whether they stay."""
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    if not axes and site.flag("noop_with_empty_axes"):
        raise UnsupportedError("a reduction over no axes; supported: named axes")
    return tuple(sorted({site.axis(a) for a in (axes or range(site.rank(0)))})), site.flag("keepdims", True)


@translates("ReduceMax", "ReduceMin", settings=SETTINGS)
def extreme(site: Site) -> Value:
    function = composed.largest if site.node.op_type == "ReduceMax" else composed.smallest
    return Value(function(OnnxSketch(site), site.name(0), *_axes(site)), site.batched)


@translates("ReduceL1", "ReduceL2", settings=SETTINGS)
def norm(site: Site) -> Value:
    order = 1.0 if site.node.op_type == "ReduceL1" else 2.0
    return Value(composed.norm(OnnxSketch(site), site.name(0), order, *_axes(site)), site.batched)


@translates("ReduceSumSquare", settings=SETTINGS)
def sum_square(site: Site) -> Value:
    return site.made(Sum(*_axes(site)), site.add(Power(2), site.name(0), part="squares"))


@translates("ReduceLogSumExp", settings=SETTINGS)
def log_sum_exp(site: Site) -> Value:
    axes, keep = _axes(site)
    if len(axes) != 1:
        raise UnsupportedError(f"log_sum_exp over {len(axes)} axes; supported: one")
    return site.made(LogSumExp(axes[0], keep), site.name(0))


@translates("Max", "Min", folds=True)
def of_several(site: Site) -> Value | Array:
    """Element by element, of two arguments or more."""
    count, most = range(len(site.node.input)), site.node.op_type == "Max"
    if not site.varying:
        return np.asarray((np.maximum if most else np.minimum).reduce([site.array(i, "a value") for i in count]))
    function: Callable[..., str] = composed.maximum if most else composed.minimum
    first, *rest = sorted(aligned(site, count), key=lambda n: not site.builder.nodes[n].varies)
    for number, other in enumerate(rest):
        first = function(OnnxSketch(site), first, other, "" if other is rest[-1] else f"of_{number}")
    return Value(first, site.batched)


@translates("LayerNormalization", settings=("axis", "epsilon", "stash_type"))
def layer_norm(site: Site) -> Value:
    first = site.axis(int(site.attribute("axis", -1)))
    axes = tuple(range(first, len(site.example(0)) + 1))
    eps = float(site.attribute("epsilon", 1e-5))
    found = composed.standardised(OnnxSketch(site), site.name(0), axes, eps, part="standardised")
    found = site.add(Multiply(), found, site.name(1), part="scaled")
    return Value(site.add(Add(), found, site.name(2)) if site.given(2) else found, site.batched)


@translates("GroupNormalization", settings=("epsilon", "num_groups", "stash_type"))
def group_norm(site: Site) -> Value:
    """Each group of channels by its own mean and variance; scale and bias for each group (opset 18), later for each channel."""
    own = site.layered()
    channels, *places = own.example(0)
    groups, eps = int(own.attribute("num_groups", 0)), float(own.attribute("epsilon", 1e-5))
    if groups < 1 or channels % groups:
        raise InputError(f"{groups} groups of {channels} channels")
    s, each = OnnxSketch(own), channels // groups
    split = own.add(Reshape((groups, each * prod(places))), own.name(0), part="groups")
    found = own.add(
        Reshape((channels, *places)), composed.standardised(s, split, (2,), eps, part="standardised"), part="joined"
    )
    for i, (operation, name) in enumerate(((Multiply(), "scale"), (Add(), "bias")), 1):
        values = own.array(i, f"a {name}")
        values = np.repeat(values, each) if own.opset < 21 else values
        if values.shape != (channels,):
            raise InputError(f"a {name} of shape {own.array(i, name).shape} for {groups} groups of {channels} channels")
        found = own.add(
            operation, found, own.tensor(values.reshape(-1, *(1 for _ in places)), f"{own.label}.{name}"), part=name
        )
    return Value(found, own.batched)


@translates("InstanceNormalization", settings=("epsilon",))
def instance_norm(site: Site) -> Value:
    own = site.layered()
    axes = tuple(range(2, len(own.example(0)) + 1))
    found = composed.standardised(
        OnnxSketch(own), own.name(0), axes, float(own.attribute("epsilon", 1e-5)), part="standardised"
    )
    scale, shift = (own.array(i, "a weight").reshape(-1, *(1 for _ in axes)) for i in (1, 2))
    found = own.add(Multiply(), found, own.tensor(scale, f"{own.label}.scale"), part="scaled")
    return Value(own.add(Add(), found, own.tensor(shift, f"{own.label}.shift")), own.batched)
