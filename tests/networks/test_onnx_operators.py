"""Every operator against ONNX Runtime, in each of its forms from opset 7 to 22, on batches of one and three."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_cases_more import more
from onnx_models import Array, close, drawn, model, node, number, reference, value, weights, whole

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_file import read_onnx
from ballproof.networks.onnx_operators import TRANSLATORS
from ballproof.networks.onnx_operators.refused import REASONS

IMAGE = (2, 7, 6)
ANY = (7, 13, 22)
"""Opsets for an operator whose form never changed."""


@dataclass(frozen=True)
class Case:
    nodes: Sequence[onnx.NodeProto]
    shape: tuple[int, ...]
    constants: dict[str, Array]
    opsets: tuple[int, ...]
    batches: tuple[int, ...] = (1, 3)
    single: bool = False


CASES: dict[str, Case] = {}


def case(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    shape: tuple[int, ...],
    *opsets: int,
    batches: tuple[int, ...] = (1, 3),
    single: bool = False,
    **constants: Array,
) -> None:
    CASES[name] = Case(nodes, shape, constants, opsets, batches, single)


def convolutions() -> None:
    uneven = {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}
    w, b = weights(3, 2, 3, 2), weights(3)
    case("conv", [node("Conv", "xwb", strides=[2, 1], pads=[1, 0, 1, 0], dilations=[1, 2])], IMAGE, *ANY, w=w, b=b)
    case("conv uneven", [node("Conv", "xwb", **uneven)], IMAGE, 7, 11, 22, w=w, b=b)
    case("conv valid", [node("Conv", "xw", auto_pad="VALID", kernel_shape=[3, 2])], IMAGE, *ANY, w=w)
    for auto in ("SAME_UPPER", "SAME_LOWER"):
        case(f"conv {auto}", [node("Conv", "xw", auto_pad=auto, strides=[2, 2])], IMAGE, 7, 11, 22, w=w)
        case(
            f"transposed {auto}",
            [node("ConvTranspose", "xw", auto_pad=auto, strides=[2, 2])],
            IMAGE,
            11,
            22,
            w=weights(2, 3, 3, 4),
        )
        target = {"output_shape": [14, 11], "auto_pad": auto}
        case(
            f"transposed to a shape {auto}",
            [node("ConvTranspose", "xw", strides=[2, 2], **target)],
            IMAGE,
            11,
            w=weights(2, 3, 3, 4),
        )
    case("conv groups", [node("Conv", "xw", group=2)], IMAGE, *ANY, w=weights(4, 1, 3, 3))
    case("conv 1d", [node("Conv", "xw", pads=[1, 1])], (2, 9), *ANY, w=weights(3, 2, 3))
    case("conv 3d", [node("Conv", "xw", pads=[0, 1, 0, 0, 1, 0])], (2, 4, 3, 5), 11, 22, w=weights(3, 2, 2, 3, 2))
    even = {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}
    case("transposed", [node("ConvTranspose", "xwb", **even)], IMAGE, 7, 11, 22, w=weights(2, 3, 3, 3), b=weights(3))
    cuts = {"strides": [2, 3], "pads": [0, 2, 1, 0], "output_padding": [1, 0], "dilations": [1, 2]}
    case("transposed uneven", [node("ConvTranspose", "xwb", **cuts)], IMAGE, 11, 22, w=weights(2, 3, 3, 3), b=weights(3))
    case("transposed groups", [node("ConvTranspose", "xw", group=2, strides=[3])], (4, 5), 11, w=weights(4, 3, 2))
    case(
        "transposed to a shape",
        [node("ConvTranspose", "xw", strides=[2, 2], output_shape=[14, 11])],
        IMAGE,
        11,
        22,
        w=weights(2, 3, 3, 4),
    )
    statistics = {"s": weights(2), "b": weights(2), "m": weights(2), "v": np.abs(weights(2)) + np.float32(0.1)}
    norm = [node("BatchNormalization", "xsbmv", epsilon=0.01, momentum=0.5)]
    case("batch norm", norm, IMAGE, 7, 9, 14, 15, 22, **statistics)
    case("batch norm of vectors", [node("BatchNormalization", "xsbmv")], (2,), 9, 15, **statistics)


def products() -> None:
    w, b = weights(5, 3), weights(3)
    case("gemm", [node("Gemm", "xwb", alpha=0.5, beta=2.0, transB=1)], (5,), 7, 9, 11, 13, 22, w=weights(3, 5), b=b)
    case("gemm without bias", [node("Gemm", "xw", alpha=0.3)], (5,), 11, 13, w=w)
    case("gemm row", [node("Gemm", "xwb")], (5,), *ANY, w=w, b=weights(1, 3))
    case("gemm number", [node("Gemm", "xwb", beta=0.7)], (5,), *ANY, w=w, b=number(0.3))
    case("matmul", [node("MatMul", "xw")], (4, 5), 7, 9, 13, 22, w=w)
    case("matmul of one matrix in a stack", [node("MatMul", "xw")], (4, 5), *ANY, w=weights(1, 5, 3))
    case("matmul by a vector", [node("MatMul", "xw", "v"), node("Relu", "v")], (4, 5), *ANY, w=weights(5))
    case("matmul by a vector to numbers", [node("MatMul", "xw", "v"), node("Mul", "vc")], (5,), *ANY, w=weights(5), c=number(2))
    case("matmul left", [node("MatMul", "wx")], (4, 5), *ANY, w=weights(3, 4))
    case("matmul and bias", [node("MatMul", "xw", "p"), node("Add", "pb")], (4, 5), *ANY, w=w, b=b)
    case("bias before matmul", [node("MatMul", "xw", "p"), node("Add", "bp")], (5,), *ANY, w=w, b=weights(1, 3))
    case("matmul and number", [node("MatMul", "xw", "p"), node("Add", "pb")], (5,), *ANY, w=w, b=number(0.7))
    case("matmul and rows", [node("MatMul", "xw", "p"), node("Add", "pb")], (4, 5), *ANY, w=w, b=weights(4, 3))
    case("matmul and a column", [node("MatMul", "xw", "p"), node("Add", "pb")], (3, 5), *ANY, w=w, b=weights(3, 1))
    twice = [node("MatMul", "xw", "p"), node("Add", "pb", "q"), node("Sub", "pq")]
    case("product used twice", twice, (5,), *ANY, w=w, b=b)


def elementwise() -> None:
    for kind in ("Relu", "Abs", "Neg", "Identity"):
        case(kind.lower(), [node(kind)], IMAGE, *ANY)
    case("leaky relu", [node("LeakyRelu", outputs="a", alpha=0.3), node("LeakyRelu", "a")], IMAGE, 7, 16, 22)
    case("clip by attribute", [node("Clip", min=0.0)], IMAGE, 7, 10)
    case("clip by argument", [node("Clip", ["x", "l"])], IMAGE, 11, 13, 22, l=number(0))
    case("clip to the largest", [node("Clip", "xlh")], IMAGE, 13, l=number(0), h=number(np.finfo(np.float32).max))
    chain = [node("Add", "xa", "p"), node("Sub", "bp", "q"), node("Mul", "qa", "r"), node("Div", "ra")]
    case("arithmetic", chain, IMAGE, *ANY, a=weights(2, 1, 1) + np.float32(3), b=weights(1, 2, 7, 6))
    case("numbers", [node("Sub", "xa", "p"), node("Mul", "bp")], (3,), *ANY, a=number(0.3), b=weights(1))
    case("branches", [node("Relu", outputs="r"), node("Add", "rx", "s"), node("Sum", "srx")], IMAGE, *ANY)
    case("sum with constants", [node("Sum", "axb")], (3, 4), 8, 13, a=weights(4), b=weights(1, 3, 1))
    case("sum of one", [node("Sum")], (3,), *ANY)
    case("dropout", [node("Dropout", outputs="d", ratio=0.4), node("Identity", "d")], IMAGE, 7, 10)
    case("dropout 12", [node("Dropout", "xr", "d", seed=3), node("Identity", "d")], IMAGE, 12, 13, 22, r=number(0.4))
    case("cast to float", [node("Cast", to=TensorProto.FLOAT)], (3,), 9, 13, 19, 21)


def smooth() -> None:
    plain = "Sigmoid Tanh Atan Erf Exp Sin Cos Softplus Sign Floor Ceil Round"
    for kind in plain.split():
        first = {"Atan": 7, "Erf": 9, "Sin": 7, "Cos": 7, "Sign": 9, "Round": 11}.get(kind, 7)
        case(kind, [node(kind)], IMAGE, first, 13, 22)
    case("log", [node("Exp", outputs="e"), node("Log", "e")], IMAGE, *ANY)
    case("sqrt", [node("Exp", outputs="e"), node("Sqrt", "e")], IMAGE, *ANY)
    case("reciprocal", [node("Exp", outputs="e"), node("Reciprocal", "e")], IMAGE, *ANY)
    case("hard swish", [node("HardSwish")], IMAGE, 14, 22)
    case("mish", [node("Mish")], IMAGE, 18, 22)
    for approximate in ("none", "tanh"):
        case(f"gelu {approximate}", [node("Gelu", approximate=approximate)], IMAGE, 20, 22)
    case("elu", [node("Elu", alpha=0.75)], IMAGE, 7, 22)
    case("celu", [node("Celu", alpha=1.5)], IMAGE, 12)
    case("selu", [node("Selu")], IMAGE, 7, 22)
    case("selu of its own", [node("Selu", alpha=1.5, gamma=0.5)], IMAGE, 7, 22)
    case("hard sigmoid", [node("HardSigmoid")], IMAGE, 7, 22)
    case("hard sigmoid of its own", [node("HardSigmoid", alpha=0.5, beta=0.25)], IMAGE, 7)
    case("prelu", [node("PRelu", "xs")], IMAGE, 7, 9, 16, s=weights(2, 1, 1))
    case("prelu of one", [node("PRelu", "xs")], (4,), 9, 16, s=weights(1))
    case("square", [node("Pow", "xe")], IMAGE, 7, 12, 15, e=number(2))
    case("cube", [node("Pow", "xe")], IMAGE, 7, 12, 15, e=number(3))
    case("root by power", [node("Exp", outputs="t"), node("Pow", "te")], IMAGE, 7, 13, e=number(0.5))
    case("exponential", [node("Pow", "bx")], IMAGE, 7, 13, b=number(1.5))
    case("clip", [node("Clip", min=-0.25, max=0.5)], IMAGE, 7, 10)
    case("clip to a point", [node("Clip", min=0.25, max=0.25)], IMAGE, 7)
    case("clip above alone", [node("Clip", ["x", "", "h"])], IMAGE, 11, 13, h=number(0.25))
    case("clip nothing", [node("Clip")], IMAGE, 11, 13)


def branches() -> None:
    gated = [node("Sigmoid", outputs="s"), node("Mul", "xs")]
    case("mul of branches", gated, IMAGE, *ANY)
    case("mul with itself", [node("Mul", "xx")], IMAGE, *ANY)
    case("div of branches", [node("Exp", outputs="e"), node("Div", "xe")], IMAGE, *ANY)
    case("div of a constant", [node("Exp", outputs="e"), node("Div", "ce")], IMAGE, *ANY, c=number(2))
    case("matmul of branches", [node("Transpose", outputs="t", perm=[0, 1, 3, 2]), node("MatMul", "xt")], IMAGE, *ANY)
    case("max", [node("Neg", outputs="n"), node("Max", "xnc")], IMAGE, 8, 12, 13, c=number(0.25))
    case("min", [node("Neg", outputs="n"), node("Min", "cxn")], IMAGE, 8, 12, 13, c=number(-0.25))
    for kind in ("ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"):
        case(kind, [node(kind, axes=[1, 3])], IMAGE, 7, 11, 13)
        case(f"{kind} by argument", [node(kind, "xa", keepdims=0)], IMAGE, 18, a=whole(-1))
    case("log sum exp", [node("ReduceLogSumExp", axes=[1])], IMAGE, 7, 11, 13)
    for kind in ("Softmax", "LogSoftmax"):
        case(f"{kind} flat", [node(kind)], IMAGE, 7, 11)
        case(f"{kind} old", [node(kind, axis=3)], IMAGE, 7, 11)
        case(kind, [node(kind, axis=1)], IMAGE, 13, 22)
        case(f"{kind} last", [node(kind)], IMAGE, 13, 22)
    case(
        "layer norm",
        [node("LayerNormalization", "xsb", axis=-2, epsilon=0.01)],
        (3, 4, 5),
        17,
        s=weights(4, 5),
        b=weights(4, 5),
    )
    case("instance norm", [node("InstanceNormalization", "xsb", epsilon=0.01)], IMAGE, 7, 22, s=weights(2), b=weights(2))


def resizes() -> None:
    up = np.asarray([1, 1, 2, 1.5], np.float32)
    empty = np.zeros(0, np.float32)
    case("upsample 7", [node("Upsample", scales=[1.0, 1.0, 2.0, 3.0])], IMAGE, 7)
    case("upsample 9", [node("Upsample", "xs")], IMAGE, 9, s=up)
    case("resize 10", [node("Resize", "xs")], IMAGE, 10, s=up)
    for place in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"):
        for mode in ("nearest", "linear"):
            settings = {"mode": mode, "coordinate_transformation_mode": place}
            case(f"resize {place} {mode}", [node("Resize", "xrs", **settings)], IMAGE, 11, 13, 18, r=empty, s=up)
    for rounds in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        settings = {"nearest_mode": rounds, "coordinate_transformation_mode": "asymmetric"}
        case(f"resize {rounds}", [node("Resize", "xrs", **settings)], IMAGE, 11, 19, r=empty, s=up)
    to = Case([node("Resize", ["x", "", "", "z"], mode="linear")], IMAGE, {"z": whole(1, 2, 5, 9)}, (13, 18), (1,))
    CASES["resize to sizes"] = to


def shapes() -> None:
    case("flatten", [node("Flatten")], IMAGE, 7, 9, 11, 13, 21)
    case("flatten behind a one", [node("Flatten", axis=2)], (1, 3, 4), *ANY)
    case("flatten from the end", [node("Flatten", axis=-3)], IMAGE, 11, 13)
    case("reshape 1", [node("Reshape", "xs")], IMAGE, 7, 13, 14, 21, s=whole(1, -1))
    CASES["reshape 1"] = Case(*[getattr(CASES["reshape 1"], f) for f in ("nodes", "shape", "constants", "opsets")], (1,))
    case("reshape 0", [node("Reshape", "xs")], IMAGE, *ANY, s=whole(0, 2, -1))
    case("reshape 0 in the middle", [node("Reshape", "xs")], IMAGE, *ANY, s=whole(-1, 0, 42))
    case("reshape -1", [node("Reshape", "xs")], IMAGE, *ANY, s=whole(-1, 84))
    case("reshape, zeros allowed but none there", [node("Reshape", "xs", allowzero=1)], IMAGE, 14, 21, s=whole(-1, 84))
    case("transpose", [node("Transpose", perm=[0, 2, 3, 1])], IMAGE, *ANY)
    squeezes = [node("Unsqueeze", outputs="u", axes=[1, 3]), node("Squeeze", "u", axes=[3])]
    case("squeeze by attribute", squeezes, IMAGE, 7, 12)
    by_argument = [node("Unsqueeze", "xa", "u"), node("Squeeze", "ub")]
    case("squeeze by argument", by_argument, IMAGE, 13, 21, a=whole(1, -1), b=whole(-1))
    case("concat", [node("Relu", outputs="r"), node("Concat", "xr", axis=-1)], IMAGE, 7, 11, 13)
    case("slice by attribute", [node("Slice", starts=[1, -4], ends=[-1, 99], axes=[2, 3])], IMAGE, 7, 9)
    case("slice of leading axes", [node("Slice", starts=[0, 1], ends=[2**31 - 1, 2])], IMAGE, 7, 9)
    steps = {"s": whole(0, 5), "e": whole(1, 0), "a": whole(1, -1), "d": whole(1, -2)}
    case("slice with steps", [node("Slice", "xsead")], IMAGE, 10, 11, 13, **steps)
    backwards = {"s": whole(-1), "e": whole(-(2**63)), "a": whole(2), "d": whole(-1)}
    case("slice backwards", [node("Slice", "xsead")], IMAGE, 10, 13, **backwards)
    case("slice without steps", [node("Slice", "xse")], (3, 4), 10, 13, s=whole(0, 1), e=whole(2**63 - 1, 3))
    case("gather", [node("Gather", "xi", axis=2)], IMAGE, 7, 11, 13, i=whole(3, 0, 3))
    case("gather from the end", [node("Gather", "xi", axis=-1)], IMAGE, 11, 13, i=whole(-1, -6, 2))
    case("gather a table", [node("Gather", "xi", axis=2)], IMAGE, 11, 13, i=whole(3, 0, 3, 1).reshape(2, 2))
    case("gather one", [node("Gather", "xi", axis=1)], IMAGE, 11, 13, i=np.asarray(-1, np.int64))
    case("gather a list of one", [node("Gather", "xi", axis=1)], IMAGE, 11, 13, i=whole(1))
    joined = node("Concat", "ba", axis=2)
    case("split by attribute", [node("Split", outputs="ab", axis=2, split=[3, 4]), joined], IMAGE, 7, 11)
    case("split by argument", [node("Split", "xs", "ab", axis=2), joined], IMAGE, 13, 18, s=whole(3, 4))
    case("split evenly", [node("Split", outputs="ab", axis=-1), node("Sub", "ab")], IMAGE, 7, 11, 13)
    case("split by number", [node("Split", outputs="abc", axis=2, num_outputs=3), node("Concat", "cba", axis=2)], IMAGE, 18, 22)
    case("split, one result unused", [node("Split", "xs", "zy", axis=2)], IMAGE, 13, s=whole(3, 4))


def paddings() -> None:
    case("pad by attribute", [node("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=1.5)], IMAGE, 7, 10)
    ends = whole(0, 0, 1, 2, 0, 0, 2, 1)
    case("pad by argument", [node("Pad", "xpv")], IMAGE, 11, 13, 18, 22, p=ends, v=number(-0.5))
    case("pad with zeros", [node("Pad", "xp", mode="constant")], IMAGE, 11, 18, p=whole(0, 1, 0, 0, 0, 0, 0, 1))
    case("pad named axes", [node("Pad", ["x", "p", "", "a"])], IMAGE, 18, 22, p=whole(1, 0, 0, 2), a=whole(-1, 1))
    case("pad below zero", [node("Pad", "xp")], IMAGE, 11, 18, p=whole(0, 0, -1, 2, 0, -1, 1, -2))
    for mode in ("reflect", "edge"):
        case(f"pad {mode}", [node("Pad", "xp", mode=mode)], IMAGE, 11, 18, 22, p=ends)
        case(f"pad {mode} by attribute", [node("Pad", pads=[0, 0, 2, 0, 0, 1], mode=mode)], (2, 7), 7, 10)
    case("pad wrap", [node("Pad", "xp", mode="wrap")], IMAGE, 19, 22, p=ends)


def pools() -> None:
    plain = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 0]}
    uneven = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 0]}
    wide = {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]}
    for kind in ("AveragePool", "MaxPool"):
        case(f"{kind}", [node(kind, **plain)], IMAGE, 7, 11, 12, 22)
        case(f"{kind} uneven", [node(kind, **uneven)], IMAGE, 7, 11, 22)
        case(f"{kind} uneven, rounded up", [node(kind, ceil_mode=1, **uneven)], IMAGE, 10, 12, 22)
        case(f"{kind} wide", [node(kind, **wide)], IMAGE, 7, 11, 22)
        case(f"{kind} rounded up", [node(kind, ceil_mode=1, **plain)], IMAGE, 10, 12, 22)
        late = {"kernel_shape": [2], "strides": [4], "pads": [1, 1], "ceil_mode": 1}
        case(f"{kind} with a window behind the end", [node(kind, **late)], (2, 7), 10, 12, 22)
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            same = {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": auto}
            case(f"{kind} {auto}", [node(kind, **same)], IMAGE, 7, 11, 22)
        case(f"{kind} 1d", [node(kind, kernel_shape=[3])], (2, 8), *ANY)
        case(f"{kind} 3d", [node(kind, kernel_shape=[2, 1, 3])], (2, 4, 3, 5), 11, 22)
    for name, settings in {"": plain, " uneven": uneven, " wide": wide}.items():
        case(f"average counting pads{name}", [node("AveragePool", count_include_pad=1, **settings)], IMAGE, 7, 11, 22)
    case("max dilated", [node("MaxPool", kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1])], IMAGE, 10, 12, 22)
    both = [node("GlobalAveragePool", outputs="a"), node("GlobalMaxPool", outputs="m"), node("Sub", "am")]
    case("global pools", both, IMAGE, *ANY)
    case("reduce mean by attribute", [node("ReduceMean", axes=[2, -1], keepdims=0)], IMAGE, 7, 11, 13)
    case("reduce mean by argument", [node("ReduceMean", "xa")], IMAGE, 18, 22, a=whole(-2, 1))
    case("reduce sum by attribute", [node("ReduceSum", axes=[1])], IMAGE, 7, 11)
    case("reduce sum by argument", [node("ReduceSum", "xa", keepdims=0)], IMAGE, 13, 22, a=whole(1, 2))
    case("reduce to numbers", [node("ReduceSum", "xa", "n", keepdims=0), node("Mul", "nc")], (4,), 13, a=whole(1), c=weights(1))
    case("reduce nothing", [node("ReduceSum", noop_with_empty_axes=1)], IMAGE, 13, 22)


def constants() -> None:
    forms = {
        "value": numpy_helper.from_array(weights(3)),
        "value_float": 0.3,
        "value_floats": [0.1, 0.2, 0.3],
    }
    for name, given in forms.items():
        opsets = ANY if name == "value" else (12, 13, 21)
        case(f"constant {name}", [node("Constant", [], "c", **{name: given}), node("Add", "xc")], (3,), *opsets)
    numbers = [node("Constant", [], "i", value_int=2), node("Constant", [], "s", value_ints=[-1, 3, 2])]
    case("constants of whole numbers", [*numbers, node("Reshape", "xs", "r"), node("Gather", "ri", axis=1)], (4, 3), 12, 13)
    CASES["constants of whole numbers"] = Case(
        [*numbers, node("Reshape", "xs", "r"), node("Gather", "ri", axis=1)], (3, 2), {}, (12, 13)
    )
    fill = [node("ConstantOfShape", "s", "c", value=helper.make_tensor("v", 1, [1], [1.5])), node("Mul", "xc")]
    case("constant of a shape", fill, (3,), 9, 13, 21, s=whole(1, 3))
    case("zeros of a shape", [node("ConstantOfShape", "s", "c"), node("Concat", "xc", axis=1)], (3,), 9, 20, s=whole(1, 2))
    CASES["zeros of a shape"] = Case(CASES["zeros of a shape"].nodes, (3,), {"s": whole(1, 2)}, (9, 20), (1,))
    plumbing = [
        node("Shape", outputs="s"),
        node("Gather", "si", "f", axis=0),
        node("Unsqueeze", "f", "u", axes=[0]),
        node("Concat", "um", "t", axis=0),
        node("Reshape", "xt"),
    ]
    case("shape of the batch", plumbing, IMAGE, 7, 11, i=np.asarray(0, np.int64), m=whole(-1))
    sizes = [
        node("Shape", outputs="s", start=1, end=3),
        node("Cast", "s", "f", to=TensorProto.FLOAT),
        node("ReduceSum", "f", "n", keepdims=0),
        node("Div", "xn"),
    ]
    case("number of cells", sizes, IMAGE, 15, 21)
    case(
        "quotient of whole numbers",
        [node("Div", "ab", "q"), node("Cast", "q", "c", to=1), node("Mul", "xc")],
        (3,),
        13,
        a=whole(-7, 7, 9),
        b=whole(2, -2, 3),
    )
    folds = [
        node("Relu", "a", "r"),
        node("Transpose", "r", "t", perm=[1, 0]),
        node("Slice", "tse", "c"),
        node("LeakyRelu", "c", "l"),
        node("ReduceMean", "l", "m", axes=[0], keepdims=0),
        node("Sum", "ml", "k"),
        node("Gemm", "kab", "g"),
        node("Add", "xg"),
    ]
    case("folded chain", folds, (1, 4), 10, 13, a=weights(3, 4), b=weights(4), s=whole(1), e=whole(3))
    CASES["folded chain"] = Case(folds, (2, 4), {"a": weights(3, 4), "b": weights(4), "s": whole(1), "e": whole(3)}, (10, 13))
    maps = [
        node("Conv", "aw", "c", pads=[1, 1, 1, 1]),
        node("MaxPool", "c", "m", kernel_shape=[2, 2]),
        node("Pad", "mp", "q"),
        node("Add", "xq"),
    ]
    case("folded layers", maps, (3, 3, 3), 13, a=weights(1, 2, 3, 3), w=weights(3, 2, 3, 3), p=whole(0, 0, 1, 0, 0, 0, 0, 1))
    parts = [node("Split", "a", "bc", axis=0), node("Sub", "bc", "d"), node("Squeeze", "d", "e"), node("Mul", "xe")]
    case("folded parts", parts, (3,), 11, a=weights(2, 3))


def choices() -> None:
    pair = {"a": np.asarray([1, 2, 3], np.int64), "b": np.asarray([3, 2, 1], np.int64)}
    for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        nodes = [node(name, "ab", "c"), node("Cast", "c", "f", to=TensorProto.FLOAT), node("Add", "xf")]
        case(f"constants by {name}", nodes, (3,), 12, 16, 21, **pair)
    both = {"a": np.asarray([True, True, False]), "b": np.asarray([True, False, False])}
    for name in ("And", "Or", "Xor"):
        nodes = [node(name, "ab", "c"), node("Not", "c", "n"), node("Cast", "n", "f", to=TensorProto.FLOAT), node("Add", "xf")]
        case(f"constants by {name}", nodes, (3,), 12, 21, **both)
    case("where", [node("Where", "abc", "w"), node("Mul", "xw")], (3,), 9, 16, a=both["a"], b=weights(3), c=weights(1))
    for mode in (0, 1):
        nodes = [node("Mod", "ab", "m", fmod=mode), node("Cast", "m", "f", to=TensorProto.FLOAT), node("Add", "xf")]
        case(f"mod {mode}", nodes, (3,), 10, 13, a=whole(-7, 7, 9), b=whole(3, -2, 4))
    counted = [node("Range", "abc", "r"), node("Cast", "r", "f", to=TensorProto.FLOAT), node("Add", "xf")]
    steps = {n: np.asarray(v, np.int64) for n, v in zip("abc", (1, 8, 3), strict=True)}
    case("range", counted, (3,), 11, 21, **steps)
    case("size", [node("Size", "a", "s"), node("Cast", "s", "f", to=1), node("Mul", "xf")], (3,), 9, 13, a=weights(2, 3))


for table in (convolutions, products, elementwise, smooth, branches, resizes, shapes, paddings, pools, constants, choices):
    table()
more(case)


@pytest.mark.parametrize("name", list(CASES))
def test_operators_agree_with_the_runtime(name: str) -> None:
    made = CASES[name]
    for opset in made.opsets:
        content = model(made.nodes, [1 if made.single else "batch", *made.shape], made.constants, opset)
        graph = read_onnx(content)
        for batch in made.batches:
            x = drawn(batch, *made.shape)
            close(value(graph, x), reference(content, x))


def test_every_translator_has_a_case() -> None:
    covered = {n.op_type for c in CASES.values() for n in c.nodes}
    assert covered | set(REASONS) == set(TRANSLATORS)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_sequences_with_the_batch_in_front_are_the_same(kind: str) -> None:
    """Layout 1, which ONNX Runtime does not compute, against layout 0 between two transpositions."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    parts = {"w": weights(2, gates * 4, 3), "r": weights(2, gates * 4, 4), "b": weights(2, gates * 8), "h": weights(2, 1, 4)}
    settings = {"hidden_size": 4, "direction": "bidirectional"}
    turned = [
        node("Transpose", outputs="t", perm=[1, 0, 2]),
        node(kind, ["t", "w", "r", "b", "", "h"], "sl", **settings),
        node("Transpose", "s", "u", perm=[2, 0, 1, 3]),
    ]
    first = [node(kind, ["x", "w", "r", "b", "", "h"], "ul", layout=1, **settings)]
    parts_first = {**parts, "h": parts["h"].transpose(1, 0, 2)}
    x = drawn(3, 5, 3)
    for last in (node("Identity", "u"), node("Identity", "l")):
        back = [node("Transpose", "l", "k", perm=[1, 0, 2]), node("Identity", "k")] if last.input == ["l"] else [last]
        wanted = value(read_onnx(model([*turned, *back], ["batch", 5, 3], parts, 14)), x)
        for shape in (["batch", 5, 3], [1, 5, 3]):
            close(value(read_onnx(model([*first, last], shape, parts_first, 14)), x), wanted)


def test_a_constant_sequence_is_refused() -> None:
    nodes = [node("RNN", "awr", "s", hidden_size=1), node("Add", "xs")]
    with pytest.raises(UnsupportedError, match="a constant sequence"):
        read_onnx(model(nodes, [1, 4], {"a": weights(2, 1, 3), "w": weights(1, 1, 3), "r": weights(1, 1, 1)}, 14))
