"""The rules of ONNX: each operation as affine nodes and functions of single numbers.

A rule is named as its operation, takes the operands and the attributes, and knows no others: an attribute that is not in its
signature is refused, as is an operation without a rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from ballproof.certificate.checker.arithmetic import Arithmetic, Array, NotModelledError
from ballproof.certificate.checker.curves import CURVES, STEPS
from ballproof.certificate.checker.network import View
from ballproof.certificate.checker.reading.nodes import Nodes, Tensor, array_of, floats, shape_of, sized, view_of, whole

EPSILON, ALPHA = float(np.float32(1e-5)), float(np.float32(0.01))
"""What the standard takes where a file says nothing."""

FARTHEST32 = float(np.finfo(np.float32).max)


class Movements(Nodes):
    """The same numbers in another shape or order."""

    version: int
    results: int

    def Constant(self, *, value: onnx.TensorProto) -> Array:
        return array_of(value)

    def Identity(self, x: Tensor) -> Tensor:
        return x

    def Dropout(self, x: Tensor, ratio: Any = None, **settings: Any) -> Tensor:
        if set(settings) - {"ratio", "seed"}:
            raise NotModelledError("settings of training")
        return x

    def Cast(self, x: Tensor, *, to: int) -> Tensor:
        kept = to == onnx.TensorProto.FLOAT if isinstance(x, View) else x.dtype == np.int64 and to == onnx.TensorProto.INT64
        if not kept:
            raise NotModelledError("another type of numbers")
        return x

    def ConstantOfShape(self, shape: Array, *, value: onnx.TensorProto | None = None) -> Array:
        sized(whole(shape))
        return np.full(whole(shape), np.float32(0) if value is None else array_of(value).item(0))

    def Shape(self, x: Tensor) -> Array:
        return np.array(shape_of(x), np.int64)

    def Flatten(self, x: Tensor, *, axis: int = 1) -> Tensor:
        return self.moved(x, lambda i: i.reshape(math.prod(i.shape[:axis]), -1))

    def Reshape(self, x: Tensor, shape: Array, *, allowzero: int = 0) -> Tensor:
        target = whole(shape)
        if allowzero and 0 in target:
            raise NotModelledError("a shape of zero")
        return self.moved(x, lambda i: i.reshape([i.shape[k] if n == 0 else n for k, n in enumerate(target)]))

    def Transpose(self, x: Tensor, *, perm: list[int] | None = None) -> Tensor:
        return self.moved(x, lambda i: i.transpose(perm))

    def Squeeze(self, x: Tensor, given: Array | None = None, *, axes: Any = None) -> Tensor:
        along = axes if given is None else whole(given)
        return self.moved(x, lambda i: np.squeeze(i, None if along is None else tuple(along)))

    def Unsqueeze(self, x: Tensor, given: Array | None = None, *, axes: Any = None) -> Tensor:
        return self.moved(x, lambda i: np.expand_dims(i, tuple(axes if given is None else whole(given))))

    def Slice(self, x: Tensor, *given: Array | None, starts: Any = None, ends: Any = None, axes: Any = None) -> Tensor:
        parts = [None if g is None else whole(g) for g in given] if given else [starts, ends, axes]
        starts, ends, axes, steps = (*parts, None, None)[:4]
        cut = [slice(None)] * len(shape_of(x))
        for k, axis in enumerate(range(len(starts)) if axes is None else axes):
            cut[axis] = slice(starts[k], ends[k], steps[k] if steps else 1)
        return self.moved(x, lambda i: i[tuple(cut)])

    def Gather(self, x: Tensor, places: Array, *, axis: int = 0) -> Tensor:
        whole(places)
        sized([*shape_of(x), *places.shape])
        return self.moved(x, lambda i: np.take(i, places, axis))

    def Expand(self, x: Tensor, shape: Array) -> Tensor:
        target = np.broadcast_shapes(shape_of(x), tuple(whole(shape)))
        sized(target)
        return self.moved(x, lambda i: np.broadcast_to(i, target))

    def Split(self, x: Tensor, given: Array | None = None, *, axis: int = 0, split: Any = None, num_outputs: int = 0) -> Any:
        sizes = split if given is None else whole(given)
        count = shape_of(x)[axis]
        if sizes is None and count % self.results == 0:
            sizes = [count // self.results] * self.results
        if sizes is None or sum(sizes) != count or min(sizes) < 1:
            raise NotModelledError("parts that are not equal")
        ends = np.cumsum([0, *sizes])
        return [self.Gather(x, np.arange(*ends[k : k + 2]), axis=axis) for k in range(len(sizes))]

    def Concat(self, *values: Tensor, axis: int) -> Tensor:
        views = [v for v in values if isinstance(v, View)]
        if not views:
            return np.concatenate([v for v in values if not isinstance(v, View)], axis)
        if len(views) == len(values) and len({v.node for v in views}) == 1:
            return View(views[0].node, np.concatenate([v.index for v in views], axis))
        bias = np.concatenate([np.zeros(v.index.shape) if isinstance(v, View) else floats(v) for v in values], axis)
        terms = []
        for k, value in enumerate(values):
            if isinstance(value, View):
                apart = [value.index if j == k else np.full(shape_of(v), -1) for j, v in enumerate(values)]
                terms.append((View(value.node, np.concatenate(apart, axis)), 1.0))
        return self.sum(*terms, bias=bias, steps=0)

    def Pad(self, x: View, given: Array | None = None, fill: Any = 0, *, mode: bytes = b"constant", **old: Any) -> View:
        wide, fill = (whole(given), fill) if given is not None else (old.pop("pads"), old.pop("value", 0.0))
        if min(wide) < 0 or mode != b"constant" or old or isinstance(fill, View) or np.any(fill):
            raise NotModelledError("padding that is not of zeros")
        half = len(wide) // 2
        sized([n + a + b for n, a, b in zip(shape_of(x), wide[:half], wide[half:], strict=True)])
        return View(x.node, np.pad(view_of(x).index, list(zip(wide[:half], wide[half:], strict=True)), constant_values=-1))


class Sums(Movements):
    """Affine operations, and products."""

    def Add(self, a: Tensor, b: Tensor, sign: float = 1.0) -> View:
        if isinstance(a, View) and isinstance(b, View):
            return self.sum((a, 1.0), (b, sign), steps=2)
        value, factor, bias = (a, 1.0, sign * floats(b)) if isinstance(a, View) else (view_of(b), sign, floats(a))
        return (self.joined(value, bias) if factor > 0 else None) or self.sum((value, factor), bias=bias)

    def Sub(self, a: Tensor, b: Tensor) -> View:
        return self.Add(a, b, -1.0)

    def joined(self, value: View, bias: Array) -> View | None:
        """The matrix product before a bias and the bias as one node."""
        node, shape = self.nodes[value.node], value.index.shape
        fits = value.index.size == node.size and np.broadcast_shapes(shape, bias.shape) == shape
        if node.kind != "affine" or not node.steps or not fits or node.burden.any() or node.peak > 1 or node.rooted:
            return None
        flat = np.zeros(node.size)
        flat[value.index] = bias
        return View(self.affine((node.size,), node.parts, flat, node.terms + 1, node.steps + 1).node, value.index)

    def Mul(self, a: Tensor, b: Tensor) -> View:
        if isinstance(a, View) and isinstance(b, View):
            return self.product(a, b)
        value, factor = (a, b) if isinstance(a, View) else (b, a)
        return self.sum((view_of(value), floats(factor)), steps=1)

    def product(self, a: View, b: View) -> View:
        """`a b = ((a + b)^2 - (a - b)^2) / 4`."""
        if a.node == b.node and np.array_equal(a.index, b.index):
            return self.sum((self.curve("Square", a, False), 1.0), steps=1)
        more, less = (self.curve("Square", self.sum((a, 1.0), (b, s), steps=0), False) for s in (1.0, -1.0))
        return self.sum((more, 0.25), (less, -0.25), steps=1)

    def Div(self, a: Tensor, b: Tensor) -> View:
        if not isinstance(b, View):
            return self.sum((view_of(a), 1 / rational(b)), steps=2)
        inverse = self.curve("Reciprocal", b, False)
        return self.product(a, inverse) if isinstance(a, View) else self.sum((inverse, floats(a)), steps=1)

    def Neg(self, x: View) -> View:
        return self.sum((view_of(x), -1.0), steps=0)

    def Sum(self, *values: View) -> View:
        return self.sum(*((view_of(v), 1.0) for v in values))

    def Gemm(self, x: View, weight: Array, bias: Any = None, *, transB: int = 0, transA: int = 0, **scale: float) -> View:
        if transA or set(scale) - {"alpha", "beta"} or set(scale.values()) - {1.0} or view_of(x).index.ndim != 2:
            raise NotModelledError("alpha, beta or transA")
        found = self.MatMul(x, weight.T if transB else weight)
        return found if bias is None else self.joined(found, floats(bias)) or self.Add(found, bias)

    def MatMul(self, a: Tensor, b: Tensor) -> View:
        if isinstance(a, View) and isinstance(b, View) and min(a.index.ndim, b.index.ndim) > 1:
            one, two = a.index[..., None], b.index[..., None, :, :]
            sized(np.broadcast_shapes(one.shape, two.shape))
            pairs = zip((a, b), np.broadcast_arrays(one, two), strict=True)
            return self.ReduceSum(self.product(*(View(v.node, index) for v, index in pairs)), axes=[-2], keepdims=0)
        left = isinstance(b, View)
        value, weight = (view_of(b), a) if left else (view_of(a), b)
        if isinstance(weight, View) or weight.ndim != 2 or value.index.ndim < 1 + left or (left and value.index.ndim != 2):
            raise NotModelledError("a product of vectors or of many matrices")
        matrix, places = floats(weight if left else weight.T), value.index.T if left else value.index
        if places.shape[-1] != matrix.shape[1]:
            raise NotModelledError(f"a matrix {weight.shape} for {value.index.shape}")
        found = self.windows(value, places.reshape(1, -1, matrix.shape[1]), matrix[None])
        index = found.index.reshape(len(matrix), -1)
        return View(found.node, index if left else index.T.reshape(*places.shape[:-1], -1))

    def windows(self, value: View, places: Array, weight: Array, bias: Any = None, **more: Any) -> View:
        """The layer of one part. bias: by unit."""
        groups, count, k = places.shape
        units = groups * weight.shape[1]
        shape, terms = (1, units, count), k + (bias is not None)
        sized(shape)
        flat = np.repeat(np.zeros(units) if bias is None else bias, count)
        return self.affine(shape, (self.part(value, places, weight),), flat, terms, terms, **more)

    def Conv(self, x: View, weight: Array, bias: Any = None, *, group: int = 1, **frame: Any) -> View:
        if weight.ndim != 4 or view_of(x).index.ndim != 4 or len(x.index) != 1 or x.index.shape[1] != group * weight.shape[1]:
            raise NotModelledError("a convolution that is not of one image in two dimensions")
        own = frame.setdefault("kernel_shape", weight.shape[2:])
        if tuple(own) != weight.shape[2:]:
            raise NotModelledError("a kernel of another shape")
        places, shape = framed(x.index[0], **frame)
        places = places.reshape(group, weight.shape[1], *places.shape[1:]).swapaxes(1, 2).reshape(group, math.prod(shape), -1)
        ends = None if bias is None else floats(bias)
        found = self.windows(x, places, floats(weight).reshape(group, len(weight) // group, -1), ends)
        return View(found.node, found.index.reshape(1, len(weight), *shape))

    def ConvTranspose(
        self, x: View, weight: Array, bias: Any = None, *, strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
        output_padding: Sequence[int] = (0, 0), dilations: Sequence[int] = (1, 1), kernel_shape: Any = None, group: int = 1,
    ) -> View:  # fmt: skip
        """A convolution with the mirrored kernel of the image with zeros between its pixels."""
        wide = [d * (k - 1) - p for d, k, p in zip([*dilations] * 2, [*weight.shape[2:]] * 2, pads, strict=True)]
        pads = [*wide[:2], *(p + more for p, more in zip(wide[2:], output_padding, strict=True))]
        if group != 1 or min(pads) < 0 or view_of(x).index.ndim != 4:
            raise NotModelledError("groups, or padding beyond the kernel")
        size = [(n - 1) * s + 1 for n, s in zip(x.index.shape[2:], strides, strict=True)]
        sized([*x.index.shape[:2], *size])
        sparse = np.full((*x.index.shape[:2], *size), -1)
        sparse[:, :, :: strides[0], :: strides[1]] = x.index
        turned = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
        own = turned.shape[2:] if kernel_shape is None else tuple(kernel_shape)
        return self.Conv(View(x.node, sparse), turned, bias, kernel_shape=own, dilations=dilations, pads=pads)

    def BatchNormalization(
        self, x: View, scale: Array, bias: Array, mean: Array, var: Array, *, epsilon: float = EPSILON, **settings: Any
    ) -> View:  # fmt: skip
        """In float32 as `(x - mean) / sqrt(var + epsilon) * scale + bias`, in any order of the products."""
        if set(settings) - {"momentum"}:
            raise NotModelledError("settings of training")
        shape = (-1, *[1] * (view_of(x).index.ndim - 2))
        inverse = np.array([1 / root(Fraction(float(v)) + Fraction(epsilon)) for v in floats(var)], object)
        slope, shift = rational(scale) * inverse, rational(mean) * rational(scale) * inverse
        across = lambda v: np.broadcast_to(v.reshape(shape), x.index.shape)  # noqa: E731
        peak = max(float(abs(v)) for v in (*inverse, *floats(scale), *slope)) * (1 + float(np.abs(floats(mean)).max()))
        more = {"burden": across(abs(shift) + abs(rational(bias))).ravel(), "peak": max(peak, 1.0), "rooted": True}
        return self.sum((x, slope.reshape(shape)), bias=across(rational(bias) - shift), steps=8, **more)

    def AveragePool(self, x: View, *, count_include_pad: int = 0, kernel_shape: Sequence[int], **frame: Any) -> View:
        places, shape = framed(image(x)[0], kernel_shape=kernel_shape, **frame)
        if not count_include_pad and (places < 0).any():
            raise NotModelledError("an average over fewer pixels at the border")
        return self.averaged(x, places.reshape(len(places), math.prod(shape), -1), (1, len(places), *shape))

    def GlobalAveragePool(self, x: View) -> View:
        channels = image(x).shape[1]
        return self.averaged(x, x.index.reshape(channels, 1, -1), (1, channels, *[1] * (x.index.ndim - 2)))

    def averaged(self, x: View, places: Array, shape: Sequence[int], mean: bool = True) -> View:
        """The mean, or the sum, of each window; each group has its own."""
        groups, _, k = places.shape
        found = self.windows(x, places, np.full((groups, 1, k), Fraction(1, k if mean else 1), object))
        self.nodes[-1] = replace(self.nodes[-1], steps=k + 2, peak=float(k))  # the sum may overflow where the mean does not
        return View(found.node, found.index.reshape(shape))

    def ReduceMean(self, x: View, given: Any = None, *, axes: Any = None, keepdims: int = 1, mean: bool = True) -> View:
        index = view_of(x).index
        along = [a % index.ndim for a in (axes if given is None else whole(given)) or range(index.ndim)]
        kept = [a for a in range(index.ndim) if a not in along]
        places = index.transpose(*kept, *along).reshape(1, math.prod(index.shape[a] for a in kept), -1)
        full = [1 if a in along else n for a, n in enumerate(index.shape)]
        return self.averaged(x, places, full if keepdims else [index.shape[a] for a in kept], mean)

    def ReduceSum(self, x: View, given: Array | None = None, *, axes: Any = None, keepdims: int = 1) -> View:
        return self.ReduceMean(x, given, axes=axes, keepdims=keepdims, mean=False)


class Operations(Sums):
    """All, with functions of single numbers and what is made of them."""

    def Relu(self, x: View) -> View:
        return self.relu(view_of(x))

    def PRelu(self, x: View, slope: Array) -> View:
        """`slope x + (1 - slope) Relu(x)`."""
        if np.broadcast_shapes(view_of(x).index.shape, slope.shape) != x.index.shape:
            raise NotModelledError("slopes of another shape")
        return self.sum((x, floats(slope)), (self.relu(x), 1 - rational(slope)), steps=2)

    def LeakyRelu(self, x: View, *, alpha: float = ALPHA) -> View:
        return self.PRelu(x, np.array([alpha], np.float32))

    def Elu(self, x: View, *, alpha: float = 1.0) -> View:
        """`Relu(x) + alpha (exp(min(x, 0)) - 1)`."""
        bent = self.sum((self.relu(self.sum((view_of(x), -1.0), steps=0)), -1.0), steps=0)
        found = self.sum((self.relu(x), 1.0), (self.curve("Exp", bent, False), alpha), bias=-alpha, steps=0)
        return self.loose("Elu", found)

    def Gelu(self, x: View, *, approximate: bytes = b"none") -> View:
        """`x / 2 (1 + erf(x / sqrt 2))`."""
        if approximate != b"none":
            raise NotModelledError("an approximation by tanh")
        steep = self.sum((view_of(x), np.array(root(Fraction(1, 2)), object)), steps=0, rooted=True)
        half = self.sum((self.curve("Erf", steep, False), 0.5), bias=0.5, steps=0)
        return self.loose("Gelu", self.product(x, half))

    def HardSwish(self, x: View) -> View:
        """`x Clip(x / 6 + 1 / 2, 0, 1)`."""
        ramp = self.sum((view_of(x), np.array(Fraction(1, 6), object)), bias=0.5, steps=0)
        return self.loose("HardSwish", self.product(x, self.Clip(ramp, min=0.0, max=1.0)))

    def Mish(self, x: View) -> View:
        """`x tanh(log(1 + exp(x)))`."""
        return self.loose("Mish", self.product(x, self.curve("Tanh", self.curve("Softplus", view_of(x), False), False)))

    def ReduceLogSumExp(self, x: View, given: Any = None, *, axes: Any = None, keepdims: int = 1) -> View:
        total = self.ReduceSum(self.curve("Exp", view_of(x), False), given, axes=axes, keepdims=keepdims)
        return self.loose("ReduceLogSumExp", self.curve("Log", total, False), x.index.size // total.index.size)

    def Abs(self, x: View) -> View:
        return self.sum((self.relu(view_of(x)), 2.0), (x, -1.0), steps=0)

    def Clip(self, x: View, *ends: Any, min: float | None = None, max: float | None = None) -> View:
        given = [None if e is None else float(floats(e).item()) for e in ends] or [min, max]
        low, high = (*given, None)[:2]
        low, high = -FARTHEST32 if low is None else low, FARTHEST32 if high is None else high
        if not low <= high:
            raise NotModelledError("ends that cross")
        found = self.bent(view_of(x), low, 1.0) if low > -FARTHEST32 else view_of(x)
        return self.bent(found, high, -1.0) if high < FARTHEST32 else found

    def Max(self, *values: Tensor, sign: float = 1.0) -> View:
        found, *rest = sorted(values, key=lambda v: not isinstance(v, View))
        for value in rest:
            shape = np.broadcast_shapes(shape_of(found), shape_of(value))
            wide = View(view_of(found).node, np.broadcast_to(view_of(found).index, shape))
            if isinstance(value, View):
                found = self.maximum(wide, View(value.node, np.broadcast_to(value.index, shape)), sign)
            else:
                found = self.bent(wide, np.broadcast_to(floats(value), shape), sign)
        return view_of(found)

    def Min(self, *values: Tensor) -> View:
        return self.Max(*values, sign=-1.0)

    def MaxPool(self, x: View, *, storage_order: int = 0, kernel_shape: Sequence[int], **frame: Any) -> View:
        places, shape = framed(image(x)[0], kernel_shape=kernel_shape, **frame)
        places = np.where(places < 0, places.max(-1, keepdims=True), places)  # padding is never the largest
        if places.min() < 0:
            raise NotModelledError("a window of padding alone")
        columns: list[View] = [View(x.node, places[..., k]) for k in range(places.shape[-1])]
        while len(columns) > 1:
            pairs = zip(columns[::2], columns[1::2], strict=False)
            columns = [self.maximum(a, b) for a, b in pairs] + columns[len(columns) // 2 * 2 :]
        return View(columns[0].node, columns[0].index.reshape(1, len(places), *shape))

    def Pow(self, x: View, power: Array) -> View:
        if power.size != 1 or float(power.item()) != 2.0:
            raise NotModelledError("a power other than 2")
        return self.loose("Pow", self.curve("Square", view_of(x), False))

    def Softmax(self, x: View, *, axis: int | None = None) -> View:
        """`1 / sum_j exp(x_j - x_i)`."""
        index = view_of(x).index
        axis = (1 if self.version < 13 else -1) if axis is None else axis
        if axis % index.ndim != index.ndim - 1 or (self.version < 13 and index.ndim != 2):
            raise NotModelledError("a softmax that is not along the last axis")
        apart = self.sum((View(x.node, index[..., None, :]), 1.0), (View(x.node, index[..., :, None]), -1.0), steps=0)
        total = self.ReduceSum(self.curve("Exp", apart, False), axes=[-1], keepdims=0)
        return self.loose("Softmax", self.curve("Reciprocal", total, False), index.shape[-1])


def _function(kind: str) -> Callable[..., View]:
    return lambda reading, x: reading.curve(kind, view_of(x))


RULES: dict[str, Callable[..., Any]] = {name: getattr(Operations, name) for name in dir(Operations) if name[0].isupper()}
RULES |= {kind: _function(kind) for kind in (CURVES.keys() | STEPS.keys()) - {"Square"}}


def framed(
    pixels: Array, kernel_shape: Sequence[int], strides: Sequence[int] = (1, 1), pads: Sequence[int] = (0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1), ceil_mode: int = 0, auto_pad: bytes = b"NOTSET",
) -> tuple[Array, tuple[int, ...]]:  # fmt: skip
    """The places that a window sees, `(channels, rows, columns, k)` with the last three flat, and rows and columns."""
    if ceil_mode or auto_pad not in (b"NOTSET", b"VALID") or (auto_pad == b"VALID" and any(pads)) or min(pads) < 0:
        raise NotModelledError("ceil_mode, or padding that is not written out")
    if not len(kernel_shape) == len(strides) == len(dilations) == len(pads) // 2 == 2 or min(*strides, *dilations) < 1:
        raise NotModelledError("windows that are not in two dimensions")
    (top, left, bottom, right), (down, across), (high, wide) = pads, strides, dilations
    sized([n + p for n, p in zip(pixels.shape, (0, top + bottom, left + right), strict=True)])
    padded = np.pad(pixels, ((0, 0), (top, bottom), (left, right)), constant_values=-1)
    frame = high * (kernel_shape[0] - 1) + 1, wide * (kernel_shape[1] - 1) + 1
    seen = np.lib.stride_tricks.sliding_window_view(padded, frame, (1, 2))[:, ::down, ::across, ::high, ::wide]
    sized(seen.shape)
    return seen.reshape(*seen.shape[:3], -1).reshape(len(seen), -1, math.prod(kernel_shape)), seen.shape[1:3]


def image(value: View) -> Array:
    index = view_of(value).index
    if index.ndim < 3 or len(index) != 1:
        raise NotModelledError("pooling that is not of one image")
    return index


def rational(value: Any) -> Array:
    return Arithmetic(exact=True).number(floats(value))


def root(value: Fraction) -> Fraction:
    """The square root, off by less than 2^-110 of it."""
    if value < Fraction(1, 2**120):
        raise NotModelledError("a variance of zero or less")
    return Fraction(math.isqrt(value.numerator * 2**400 // value.denominator), 2**200)
