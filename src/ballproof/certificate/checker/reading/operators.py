"""The rules of ONNX: each operation as affine nodes and functions of single numbers.

A rule is named as its operation, takes the operands and the attributes, and knows no others: an attribute that is not in its
signature is refused, as is an operation without a rule. Results are flat or of any shape: the walk knows their shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from ballproof.certificate.checker.arithmetic import Arithmetic, Array, NotModelledError
from ballproof.certificate.checker.curves import CURVES, STEPS
from ballproof.certificate.checker.network import View
from ballproof.certificate.checker.reading.nodes import Nodes, Tensor, floats, shape_of, sized

EPSILON, ALPHA = float(np.float32(1e-5)), float(np.float32(0.01))
"""What the standard takes where a file says nothing."""

FARTHEST32 = float(np.finfo(np.float32).max)


class Movements(Nodes):
    """The same numbers in another shape or order, or constants."""

    version: int
    node: onnx.NodeProto

    def Constant(self, *, value: Array) -> Array:
        return value

    def Identity(self, x: Tensor) -> Tensor:
        return x

    Flatten = Reshape = Squeeze = Unsqueeze = lambda self, x, *given, **settings: x

    def Dropout(self, x: Tensor, rate: Any = None, *, ratio: float = 0.5, seed: int = 0) -> Tensor:
        return x

    def Cast(self, x: Tensor, *, to: int) -> Tensor:
        kept = to == onnx.TensorProto.FLOAT if isinstance(x, View) else x.dtype == np.int64 and to == onnx.TensorProto.INT64
        if not kept:
            raise NotModelledError("another type of numbers")
        return x

    def Shape(self, x: Tensor) -> Array:
        return np.array(shape_of(x), np.int64)

    def Pad(self, x: Tensor, given: Array | None = None, fill: Any = 0, *, mode: bytes = b"constant", **old: Any) -> Any:
        wide: Any = old.get("pads") if given is None else given
        if min(wide) < 0 or mode != b"constant" or isinstance(fill, View) or np.any(fill) or old.get("value"):
            raise NotModelledError("padding that is not of zeros")
        return self.moved(x, given, np.zeros((), np.int64))

    def moved(self, *operands: Any, **_: Any) -> Any:
        """By ONNX's own reference: of places counted from 1, so that padding has none."""
        many = len(operands) if self.node.op_type == "Concat" else 1
        ends, rest = operands[:many], operands[many:]
        sources = sorted({v.node for v in ends if isinstance(v, View)})
        if any(isinstance(v, View) for v in rest):
            raise NotModelledError("a place that is no constant")
        if not sources:
            return self.referred(*operands)
        found = []
        for source in sources:
            own = [v.index + 1 if isinstance(v, View) and v.node == source else np.zeros(shape_of(v), np.int64) for v in ends]
            found.append([View(source, index - 1) for index in self.referred(*own, *rest)])
        if len(sources) == 1 and all(isinstance(v, View) for v in ends):
            return found[0]
        (bias,) = self.referred(*(np.zeros(shape_of(v)) if isinstance(v, View) else floats(v) for v in ends))
        return [self.sum(*((view, 1.0) for (view,) in found), (bias, 1.0), steps=0)]

    def referred(self, *operands: Any) -> list[Array]:
        """What the reference makes of the operation."""
        given = {name: value for name, value in zip(self.node.input, operands, strict=False) if name}
        opsets, results = [onnx.helper.make_opsetid("", self.version)], list(self.node.output)
        whole = onnx.helper.make_function("", "one", list(given), results, [self.node], opsets)
        return list(ReferenceEvaluator(whole).run(results, given, attributes={}))


class Sums(Movements):
    """Affine operations, and products."""

    def Add(self, a: Any, b: Any) -> View:
        value, other = (b, a) if isinstance(b, View) else (a, b)
        found = None if isinstance(other, View) else self.joined(value, other)
        return found or self.sum((a, 1.0), (b, 1.0))

    def Sub(self, a: Tensor, b: Tensor) -> View:
        return self.sum((a, 1.0), (b, -1.0)) if isinstance(b, View) else self.Add(a, -b)

    def Sum(self, *values: Tensor) -> View:
        return self.sum(*((value, 1.0) for value in values))

    def Neg(self, x: View) -> View:
        return self.sum((x, -1.0), steps=0)

    def Mul(self, a: Tensor, b: Tensor) -> View:
        """Of two branches `a b = ((a + b)^2 - (a - b)^2) / 4`."""
        if not (isinstance(a, View) and isinstance(b, View)):
            return self.sum((a, b) if isinstance(a, View) else (b, a), steps=1)
        if a.node == b.node and np.array_equal(a.index, b.index):
            return self.sum((self.curve("Square", a, False), 1.0), steps=1)
        more, less = (self.curve("Square", self.sum((a, 1.0), (b, s), steps=0), False) for s in (1.0, -1.0))
        return self.sum((more, 0.25), (less, -0.25), steps=1)

    def Div(self, a: Tensor, b: Tensor) -> View:
        if isinstance(b, View):
            return self.Mul(a, self.curve("Reciprocal", b, False))
        return self.sum((a, 1 / rational(b)), steps=2)

    def Gemm(self, x: View, weight: Array, bias: Any = None, *, transB: int = 0, transA: int = 0, **scale: float) -> View:
        if transA or set(scale.values()) - {1.0}:
            raise NotModelledError("alpha, beta or transA")
        found = self.MatMul(x, weight.T if transB else weight)
        return found if bias is None else self.Add(found, bias)

    def MatMul(self, a: Any, b: Any) -> View:
        if isinstance(a, View) and isinstance(b, View) and min(a.index.ndim, b.index.ndim) > 1:
            one, two = a.index[..., None], b.index[..., None, :, :]
            sized(np.broadcast_shapes(one.shape, two.shape))
            pairs = zip((a, b), np.broadcast_arrays(one, two), strict=True)
            return self.ReduceSum(self.Mul(*(View(v.node, index) for v, index in pairs)), axes=[-2])
        if a.ndim != 2 if isinstance(b, View) else b.ndim != 2:
            raise NotModelledError("a product of vectors or of many matrices")
        if isinstance(b, View):  # the transpose of a product is that of its transposed factors
            found = self.MatMul(View(b.node, b.index.T), a.T)
            return View(found.node, found.index.T)
        found = self.windows(a, a.index.reshape(1, -1, len(b)), b.T[None])
        return View(found.node, found.index[0].T.reshape(*a.index.shape[:-1], -1))

    def windows(self, value: View, places: Array, weight: Array) -> View:
        """The layer of one part, `(1, units, windows)`."""
        (_, count, k), units = places.shape, len(weight) * weight.shape[1]
        sized([units, count])
        return self.affine((1, units, count), (self.part(value, places, weight),), np.zeros(units * count), k, k)

    def Conv(self, x: View, weight: Array, bias: Any = None, *, group: int = 1, **frame: Any) -> View:
        own = tuple(frame.setdefault("kernel_shape", weight.shape[2:]))
        if own != weight.shape[2:] or x.index.shape[1] != group * weight.shape[1] or len(weight) % group:
            raise NotModelledError("a kernel of another shape")
        places = framed(x, **frame)
        places = places.reshape(group, weight.shape[1], *places.shape[1:]).swapaxes(1, 2)
        places = places.reshape(group, -1, weight[0].size)
        found = self.windows(x, places, weight.reshape(group, len(weight) // group, -1))
        return found if bias is None else self.Add(found, bias[:, None])

    def ConvTranspose(
        self, x: View, weight: Array, bias: Any = None, *, strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
        output_padding: Sequence[int] = (0, 0), dilations: Sequence[int] = (1, 1), kernel_shape: Any = None, group: int = 1,
    ) -> View:  # fmt: skip
        """A convolution with the mirrored kernel of the image with zeros between its pixels."""
        if group != 1:
            raise NotModelledError("groups")
        wide = [d * (k - 1) - p for d, k, p in zip([*dilations] * 2, [*weight.shape[2:]] * 2, pads, strict=True)]
        wide = [*wide[:2], *(p + more for p, more in zip(wide[2:], output_padding, strict=True))]
        size = [*x.index.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.index.shape[2:], strides, strict=True))]
        sized(size)
        sparse = np.full(size, -1)
        sparse[:, :, :: strides[0], :: strides[1]] = x.index
        turned = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
        own = turned.shape[2:] if kernel_shape is None else kernel_shape
        return self.Conv(View(x.node, sparse), turned, bias, kernel_shape=own, dilations=dilations, pads=wide)

    def BatchNormalization(
        self, x: View, scale: Array, bias: Array, mean: Array, var: Array, *, epsilon: float = EPSILON, momentum: float = 0.9
    ) -> View:  # fmt: skip
        """In float32 as `(x - mean) / sqrt(var + epsilon) * scale + bias`, in any order of the products."""
        shape = (-1, *[1] * (x.index.ndim - 2))
        inverse = np.array([1 / root(Fraction(float(v)) + Fraction(epsilon)) for v in var], object)
        slope, shift = rational(scale) * inverse, rational(mean) * rational(scale) * inverse
        across = lambda v: np.broadcast_to(v.reshape(shape), x.index.shape)  # noqa: E731
        peak = max(float(abs(v)) for v in (*inverse, *scale, *slope)) * (1 + float(np.abs(mean).max()))
        more = {"burden": across(abs(shift) + abs(rational(bias))).ravel(), "peak": max(peak, 1.0), "rooted": True}
        return self.sum((x, across(slope)), (across(rational(bias) - shift), 1.0), steps=8, **more)

    def averaged(self, x: View, places: Array, mean: bool = True) -> View:
        """The mean, or the sum, of each window; each group has its own."""
        groups, _, k = places.shape
        found = self.windows(x, places, np.full((groups, 1, k), Fraction(1, k if mean else 1), object))
        self.nodes[-1] = replace(self.nodes[-1], steps=k + 2, peak=float(k))  # the sum may overflow where the mean does not
        return found

    def AveragePool(self, x: View, *, count_include_pad: int = 0, **frame: Any) -> View:
        places = framed(x, **frame)
        if not count_include_pad and (places < 0).any():
            raise NotModelledError("an average over fewer pixels at the border")
        return self.averaged(x, places.reshape(len(places), -1, places.shape[-1]))

    def GlobalAveragePool(self, x: View) -> View:
        return self.ReduceMean(x, axes=range(2, x.index.ndim))

    def ReduceMean(self, x: View, given: Any = None, *, axes: Any = None, keepdims: int = 1, mean: bool = True) -> View:
        along = list((axes if given is None else given.ravel().tolist()) or range(x.index.ndim))
        places = np.moveaxis(x.index, along, range(-len(along), 0))
        return self.averaged(x, places.reshape(1, -1, math.prod(places.shape[places.ndim - len(along) :])), mean)

    def ReduceSum(self, x: View, given: Any = None, *, axes: Any = None, keepdims: int = 1) -> View:
        return self.ReduceMean(x, given, axes=axes, mean=False)


class Operations(Sums):
    """All, with functions of single numbers and what is made of them."""

    def Relu(self, x: View) -> View:
        return self.curve("Relu", x)

    def PRelu(self, x: View, slope: Array) -> View:
        """`slope x + (1 - slope) Relu(x)`."""
        return self.sum((x, slope), (self.Relu(x), 1 - rational(slope)), steps=2)

    def LeakyRelu(self, x: View, *, alpha: float = ALPHA) -> View:
        return self.PRelu(x, np.array(alpha))

    def Abs(self, x: View) -> View:
        return self.sum((self.Relu(x), 2.0), (x, -1.0), steps=0)

    def Max(self, *values: Any, sign: float = 1.0) -> Any:
        return reduce(lambda a, b: self.larger(a, b, sign), sorted(values, key=lambda v: not isinstance(v, View)))

    def Min(self, *values: Any) -> Any:
        return self.Max(*values, sign=-1.0)

    def Clip(self, x: View, *ends: Any, min: float | None = None, max: float | None = None) -> View:
        low, high = (*(ends or (min, max)), None)[:2]
        if low is not None and high is not None and not low <= high:
            raise NotModelledError("ends that cross")
        found = x if low is None or low <= -FARTHEST32 else self.larger(x, low)
        return found if high is None or high >= FARTHEST32 else self.larger(found, high, -1.0)

    def MaxPool(self, x: View, *, storage_order: int = 0, **frame: Any) -> View:
        places = framed(x, **frame)
        places = np.where(places < 0, places.max(-1, keepdims=True), places)  # padding is never the largest
        if places.min() < 0:
            raise NotModelledError("a window of padding alone")
        columns: list[View] = [View(x.node, places[..., k]) for k in range(places.shape[-1])]
        while len(columns) > 1:
            pairs = zip(columns[::2], columns[1::2], strict=False)
            columns = [self.larger(a, b) for a, b in pairs] + columns[len(columns) // 2 * 2 :]
        return columns[0]

    def Elu(self, x: View, *, alpha: float = 1.0) -> View:
        """`Relu(x) + alpha (exp(min(x, 0)) - 1)`."""
        below = self.curve("Exp", self.larger(x, 0.0, -1.0), False)
        return self.loose("Elu", self.sum((self.Relu(x), 1.0), (below, alpha), (alpha, -1.0), steps=0))

    def Gelu(self, x: View, *, approximate: bytes = b"none") -> View:
        """`x / 2 (1 + erf(x / sqrt 2))`."""
        if approximate != b"none":
            raise NotModelledError("an approximation by tanh")
        steep = self.sum((x, np.array(root(Fraction(1, 2)), object)), steps=0, rooted=True)
        return self.loose("Gelu", self.Mul(x, self.sum((self.curve("Erf", steep, False), 0.5), (0.5, 1.0), steps=0)))

    def HardSwish(self, x: View) -> View:
        """`x Clip(x / 6 + 1 / 2, 0, 1)`."""
        ramp = self.sum((x, np.array(Fraction(1, 6), object)), (0.5, 1.0), steps=0)
        return self.loose("HardSwish", self.Mul(x, self.Clip(ramp, min=0.0, max=1.0)))

    def Mish(self, x: View) -> View:
        """`x tanh(log(1 + exp(x)))`."""
        return self.loose("Mish", self.Mul(x, self.curve("Tanh", self.curve("Softplus", x, False), False)))

    def Pow(self, x: View, power: Array) -> View:
        if power.size != 1 or power.item() != 2:
            raise NotModelledError("a power other than 2")
        return self.loose("Pow", self.curve("Square", x, False))

    def ReduceLogSumExp(self, x: View, given: Any = None, *, axes: Any = None, keepdims: int = 1) -> View:
        total = self.ReduceSum(self.curve("Exp", x, False), given, axes=axes)
        return self.loose("ReduceLogSumExp", self.curve("Log", total, False), x.index.size // total.index.size)

    def Softmax(self, x: View, *, axis: int | None = None) -> View:
        """`1 / sum_j exp(x_j - x_i)`."""
        axis = (1 if self.version < 13 else -1) if axis is None else axis
        if axis % x.index.ndim != x.index.ndim - 1 or (self.version < 13 and x.index.ndim != 2):
            raise NotModelledError("a softmax that is not along the last axis")
        apart = self.sum((View(x.node, x.index[..., None, :]), 1.0), (View(x.node, x.index[..., None]), -1.0), steps=0)
        total = self.ReduceSum(self.curve("Exp", apart, False), axes=[-1])
        return self.loose("Softmax", self.curve("Reciprocal", total, False), x.index.shape[-1])


MOVES = {"Concat", "ConstantOfShape", "Expand", "Gather", "Slice", "Split", "Transpose"}
RULES: dict[str, Callable[..., Any]] = {name: getattr(Operations, name) for name in dir(Operations) if name[0].isupper()}
RULES |= {kind: lambda reading, x, kind=kind: reading.curve(kind, x) for kind in (CURVES.keys() | STEPS.keys()) - {"Square"}}
RULES |= dict.fromkeys(MOVES, Operations.moved)
MOVES |= {name for name in dir(Movements) if name[0].isupper()}
"""Those that constants may have as well."""


def framed(
    x: View, kernel_shape: Sequence[int], strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1), ceil_mode: int = 0, auto_pad: bytes = b"NOTSET",
) -> Array:  # fmt: skip
    """The places that each window of an image sees, `(channels, windows, k)`."""
    if ceil_mode or auto_pad not in (b"NOTSET", b"VALID") or (auto_pad == b"VALID" and any(pads)) or min(pads) < 0:
        raise NotModelledError("ceil_mode, or padding that is not written out")
    if len(x.index) != 1 or min(*strides, *dilations, *kernel_shape) < 1:
        raise NotModelledError("windows that are not of one image")
    (top, left, bottom, right), (down, across), (high, wide), (tall, broad) = pads, strides, dilations, kernel_shape
    sized([n + p for n, p in zip(x.index.shape[1:], (0, top + bottom, left + right), strict=True)])
    padded = np.pad(x.index[0], ((0, 0), (top, bottom), (left, right)), constant_values=-1)
    frame = high * (tall - 1) + 1, wide * (broad - 1) + 1
    seen = np.lib.stride_tricks.sliding_window_view(padded, frame, (1, 2))[:, ::down, ::across, ::high, ::wide]
    sized(seen.shape)
    return seen.reshape(len(seen), -1, tall * broad)


def rational(value: Any) -> Array:
    return Arithmetic(exact=True).number(value)


def root(value: Fraction) -> Fraction:
    """The square root, off by less than 2^-110 of it."""
    if value < Fraction(1, 2**120):
        raise NotModelledError("a variance of zero or less")
    return Fraction(math.isqrt(value.numerator * 2**400 // value.denominator), 2**200)
