"""Constants, the static shape, casts, and what does nothing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.site import Array, Site, Value
from ballproof.networks.onnx_operators.table import translates

MOST_NUMBERS = 2**27
"""A constant of a given shape has at most so many entries: 1 GiB of float32."""

KINDS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


@translates("Identity", folds=True, masked=True)
def identity(site: Site) -> Value | Array:
    return site.value(0) if site.varying else site.array(0, "x")


@translates("Dropout", settings=("ratio", "seed"), folds=True, masked=True)
def dropout(site: Site) -> Value | Array:
    """In inference it does nothing; a file that was left in training mode is refused."""
    if site.given(2) and bool(site.array(2, "a mode").any()):
        raise UnsupportedError("training mode; supported: inference")
    return site.value(0) if site.varies(0) else site.array(0, "x")


@translates("Constant", settings=("value", *KINDS), folds=True)
def constant(site: Site) -> Array:
    """A tensor, or numbers."""
    if len(site.node.attribute) != 1:
        raise InputError(f"{len(site.node.attribute)} values, expected one")
    (attribute,) = site.node.attribute
    value: Any = helper.get_attribute_value(attribute)
    return site.read(value) if attribute.name == "value" else np.asarray(value, KINDS[attribute.name])


@translates("ConstantOfShape", settings=("value",), folds=True)
def constant_of_shape(site: Site) -> Array:
    value, shape = site.attribute("value"), site.integers(0, "a shape")
    if min(shape, default=0) < 0 or prod(shape) > MOST_NUMBERS:
        raise InputError(f"a constant of shape {shape}, expected sizes >= 0 and at most {MOST_NUMBERS} entries")
    fill = site.read(value) if value is not None else np.zeros(1, np.float32)
    return np.full(shape, fill.reshape(-1)[0], fill.dtype)


@translates("Shape", settings=("start", "end"), folds=True)
def shape(site: Site) -> Array:
    """The batch counts as 1: what is computed from it is a shape whose first axis is the batch."""
    return np.asarray(site.shape(0)[site.attribute("start", 0) : site.attribute("end", None)], np.int64)


@translates("Cast", settings=("to", "saturate", "round_mode"), folds=True, masked=True)
def cast(site: Site) -> Value | Array:
    """Of constants. A varying value stays in the type of the graph, so only float and double are the same value."""
    to = site.attribute("to", 0)
    if site.varying:
        if to not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            name = TensorProto.DataType.Name(to) if to in TensorProto.DataType.values() else to
            raise UnsupportedError(f"a cast of a varying value to {name}; supported: FLOAT, DOUBLE")
        return site.value(0)
    return site.array(0, "x").astype(helper.tensor_dtype_to_np_dtype(to))
