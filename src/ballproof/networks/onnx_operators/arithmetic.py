"""Sums, products, rectifiers, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_operators.site import Array, Site
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations import Operation
from ballproof.operations.abs import Abs
from ballproof.operations.arithmetic import Add, Divide, Multiply, Negate, Subtract
from ballproof.operations.leaky_relu import LeakyRelu
from ballproof.operations.mean import Mean
from ballproof.operations.relu import Relu
from ballproof.operations.sum import Sum

BINARY: dict[str, tuple[Operation, Any]] = {
    "Add": (Add(), np.add),
    "Sub": (Subtract(), np.subtract),
    "Mul": (Multiply(), np.multiply),
    "Div": (Divide(), np.divide),
}


@translates(*BINARY)
def binary(site: Site) -> str | Array:
    """With broadcasting; quotients of whole numbers are cut towards zero, as in ONNX."""
    operation, compute = BINARY[site.node.op_type]
    if not site.varies(0) and not site.varies(1):
        a, b = site.array(0, "a"), site.array(1, "b")
        if site.node.op_type == "Div" and np.issubdtype(a.dtype, np.integer):
            return np.trunc(a / b).astype(a.dtype)
        return np.asarray(compute(a, b))
    rank = max(site.rank(0), site.rank(1))
    for i in (0, 1):
        _broadcasts(site, i, rank)
    return site.add(operation, site.name(0), site.name(1))


def _broadcasts(site: Site, i: int, rank: int) -> None:
    """A constant must be the same for every example; a varying argument must keep its batch axis in front."""
    if site.varies(i):
        if site.rank(i) != rank:
            raise UnsupportedError(f"broadcasting moves the batch axis: ranks {site.rank(0)} and {site.rank(1)}")
    elif site.rank(i) == rank and site.shape(i)[0] != 1:
        raise UnsupportedError(f"a constant of shape {site.shape(i)} differs between examples")


@translates("Sum")
def total(site: Site) -> str | Array:
    """A sum of any number of branches."""
    if not any(site.varies(i) for i in range(len(site.node.input))):
        return np.asarray(sum(site.array(i, "a term") for i in range(len(site.node.input))))
    found = site.name(0)
    for i in range(1, len(site.node.input)):
        found = site.add(Add(), found, site.name(i))
    return found


@translates("Relu", "Abs", "Neg", "LeakyRelu")
def scalar(site: Site) -> str | Array:
    site.only("alpha")
    slope = float(site.attribute("alpha", 0.01))
    operations = {"Relu": Relu(), "Abs": Abs(), "Neg": Negate(), "LeakyRelu": LeakyRelu(slope)}
    if site.varies(0):
        return site.add(operations[site.node.op_type], site.name(0))
    x = site.array(0, "x")
    computed = {"Relu": np.maximum(x, 0), "Abs": np.abs(x), "Neg": -x, "LeakyRelu": np.where(x >= 0, x, slope * x)}
    return np.asarray(computed[site.node.op_type])


@translates("Clip")
def clip(site: Site) -> str:
    """Only where it is a rectifier: from 0 without an upper end."""
    low, high = site.attribute("min"), site.attribute("max")
    if site.opset >= 11:
        low = float(site.array(1, "an end")) if site.given(1) else None
        high = float(site.array(2, "an end")) if site.given(2) else None
    if low != 0 or (high is not None and high < np.finfo(np.float32).max):
        raise UnsupportedError(f"Clip to [{low}, {high}] is not modelled; supported: [0, infinity)")
    return site.add(Relu(), site.name(0))


@translates("ReduceMean", "ReduceSum")
def reduce(site: Site) -> str:
    site.only("axes", "keepdims", "noop_with_empty_axes")
    axes = site.integers(1, "axes") if site.given(1) else site.attribute("axes")
    if not axes:
        raise UnsupportedError("a reduction of all axes mixes the batch; supported: named axes without the batch")
    counted = tuple(sorted(site.axis(a) for a in axes))
    kind = Mean if site.node.op_type == "ReduceMean" else Sum
    return site.add(kind(counted, bool(site.attribute("keepdims", 1))), site.name(0))
