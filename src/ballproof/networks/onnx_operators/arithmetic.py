"""Sums, products, rectifiers, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ballproof.errors import InputError
from ballproof.networks import composed
from ballproof.networks.onnx_operators import masks
from ballproof.networks.onnx_operators.aligned import aligned
from ballproof.networks.onnx_operators.site import Array, Site, Value
from ballproof.networks.onnx_operators.sketch import OnnxSketch
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations import Operation
from ballproof.operations.abs import Abs
from ballproof.operations.arithmetic import Add, Divide, Multiply, Negate, Subtract
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.linear import Linear
from ballproof.operations.mean import Mean
from ballproof.operations.relu import Relu
from ballproof.operations.sum import Sum


def quotient(a: Array, b: Array) -> Array:
    """Quotients of whole numbers are cut towards zero, as in ONNX."""
    if np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)
    return np.asarray(a / b)


BINARY: dict[str, tuple[Operation, Any]] = {
    "Add": (Add(), np.add),
    "Sub": (Subtract(), np.subtract),
    "Mul": (Multiply(), np.multiply),
    "Div": (Divide(), quotient),
}


@translates("Add", folds=True, masked=True)
def add(site: Site) -> Value | Array:
    """A term that is -infinity at some places masks the sum there."""
    if not site.varying or not masks.has_masks(site):
        return _of_two(site)
    found = _of_two(masks.cleaned(site))
    assert isinstance(found, Value), "a sum of what varies varies"
    return masks.masked_where_any(site, found)


@translates("Sub", "Mul", "Div", folds=True)
def binary(site: Site) -> Value | Array:
    return _of_two(site)


def _of_two(site: Site) -> Value | Array:
    """With broadcasting. A bias added to a matrix product becomes the bias of that product."""
    operation, compute = BINARY[site.node.op_type]
    if site.node.op_type == "Div" and not site.varies(1) and not site.array(1, "a denominator").all():
        raise InputError("a division by zero")
    if not site.varying:
        return np.asarray(compute(site.array(0, "a"), site.array(1, "b")))
    if site.node.op_type == "Add" and len(site.varying) == 1 and _is_bias(site, *site.varying):
        return _biased(site, *site.varying)
    names = aligned(site, (0, 1))
    if site.varies(1) and site.node.op_type == "Div":
        return Value(composed.quotient(OnnxSketch(site), *names), site.batched)
    if len(site.varying) == 2 and site.node.op_type == "Mul":
        return Value(composed.product(OnnxSketch(site), *names), site.batched)
    return site.made(operation, *names)


def _is_bias(site: Site, i: int) -> bool:
    """Whether argument i is a matrix product without bias, and the other one number for each of its outputs."""
    product = site.builder.nodes[site.name(i)]
    constant = site.array(1 - i, "a bias")
    outputs = product.shape[-1] if product.shape else 0
    fits = constant.size == 1 or (constant.size == outputs and constant.shape[-1] == outputs)
    return product.operation == Linear() and len(product.inputs) == 2 and fits and constant.ndim <= site.rank(i)


def _biased(site: Site, i: int) -> Value:
    product = site.builder.nodes[site.name(i)]
    bias = np.broadcast_to(site.array(1 - i, "a bias").reshape(-1), (product.shape[-1],))
    return site.made(Linear(), *product.inputs, site.tensor(bias, f"{site.label}.bias"))


@translates("Sum", folds=True)
def total(site: Site) -> Value | Array:
    """A sum of any number of branches."""
    count = range(len(site.node.input))
    if not site.varying:
        return np.asarray(sum((site.array(i, "a term") for i in count[1:]), site.array(0, "a term")))
    first, *rest = aligned(site, count)
    for other in rest:
        first = site.add(Add(), first, other)
    return Value(first, site.batched)


@translates("Relu", "Abs", "Neg", folds=True)
def scalar(site: Site) -> Value | Array:
    operations: dict[str, tuple[Operation, Any]] = {
        "Relu": (Relu(), lambda x: np.maximum(x, 0)),
        "Abs": (Abs(), np.abs),
        "Neg": (Negate(), np.negative),
    }
    operation, compute = operations[site.node.op_type]
    return site.made(operation, site.name(0)) if site.varying else np.asarray(compute(site.array(0, "x")))


@translates("LeakyRelu", settings=("alpha",))
def leaky_relu(site: Site) -> Value:
    return site.made(LeakyRelu(float(site.attribute("alpha", 0.01))), site.name(0))


@translates("Clip", settings=("min", "max"))
def clip(site: Site) -> Value:
    """An end of the largest float32 or beyond cuts nothing."""
    low, high = site.attribute("min"), site.attribute("max")
    if site.opset >= 11:
        low = site.number(1, "the lower end") if site.given(1) else None
        high = site.number(2, "the upper end") if site.given(2) else None
    largest = float(np.finfo(np.float32).max)
    low = None if low is None or low <= -largest else low
    high = None if high is None or high >= largest else high
    return Value(composed.clamp(OnnxSketch(site), site.name(0), low, high), site.batched)


@translates("ReduceMean", "ReduceSum", settings=("axes", "keepdims", "noop_with_empty_axes"))
def reduce(site: Site) -> Value:
    """Over the named axes; without any over all, which takes a file with one example at a time."""
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    if not axes and site.flag("noop_with_empty_axes"):
        return site.value(0)
    counted = tuple(sorted({site.axis(a) for a in (axes or range(site.rank(0)))}))
    kind = Mean if site.node.op_type == "ReduceMean" else Sum
    return site.made(kind(counted, site.flag("keepdims", True)), site.name(0))
