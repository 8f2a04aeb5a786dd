"""Further cases for `test_onnx_operators`: masks, moves, einsum, recurrent nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto
from onnx_models import Array, node, number, weights, whole

Case = Callable[..., None]
IMAGE = (4, 6, 4)
SEQUENCE = (5, 3)
HIDDEN = 8
"""Enough numbers that one of them is large: ONNX Runtime has its own sigmoid and tanh, right to 1e-7."""
BELOW = np.tril(np.ones((5, 5), bool))
ENDS = np.where(BELOW, 0, -np.inf).astype(np.float32)


def more(case: Case) -> None:
    for table in (masks, moves, elements, contractions, norms, recurrent):
        table(case)


def masks(case: Case) -> None:
    x = (3, 5, 5)
    gated = [node("Neg", outputs="n"), node("Where", "cxn")]
    case("where of branches", gated, x, 9, 16, c=BELOW)
    case("where of a branch and a table", [node("Where", "ctx")], x, 9, 16, c=BELOW[None], t=weights(5, 1))
    case("where to larger", [node("Where", "cxt")], (1, 5), 9, 16, c=BELOW[None], t=weights(5, 5))
    soft = node("Softmax", "m", axis=-1)
    case("softmax of what is kept", [node("Where", "cxe", "m"), soft], x, 13, 22, c=BELOW, e=number(-np.inf))
    case("softmax behind a mask", [node("Add", "xe", "m"), soft], x, 13, 22, e=ENDS)
    case("softmax behind a mask, old", [node("Add", "ex", "m"), node("Softmax", "m", axis=3)], x, 11, e=ENDS[None, None])
    twice = [node("Add", "xe", "k"), node("Identity", "k", "i"), node("Cast", "i", "d", to=1), node("Add", "fd", "m"), soft]
    case("softmax behind two masks", twice, x, 13, e=ENDS, f=np.asarray([0, 1, 2, -np.inf, 0.5], np.float32))
    case("softmax behind a padding", [node("Add", "xe", "m"), soft], x, 13, e=ENDS[2])
    case("softmax along another axis", [node("Add", "xe", "m"), node("Softmax", "m", axis=2)], x, 13, e=ENDS.T)
    safe = [node("Add", "xe", "m"), node("Softmax", "m", "s"), node("IsNaN", "s", "n"), node("Where", "nzs")]
    case("softmax with a guard", safe, x, 13, e=ENDS, z=number(0))
    opened = [node("Add", "xe", "a"), node("Where", "caz", "m"), node("Softmax", "m", "s", axis=-1), node("Reshape", "sf")]
    rows = {"c": BELOW[2:], "e": ENDS[3], "z": number(0.5), "f": whole(1, 15)}
    case("softmax of rows of one example", opened, (5,), 13, batches=(1,), single=True, **rows)
    case("triangle", [node("Trilu", "x", upper=0)], x, 14, 22)
    case("triangle above", [node("Trilu", "xk")], x, 14, k=np.asarray(1, np.int64))
    constant = [node("Trilu", "ak", "t", upper=0), node("IsInf", "t", "i"), node("Where", "izt", "w"), node("Add", "xw")]
    case("triangle of constants", constant, x, 14, 20, a=weights(5, 5), k=np.asarray(-1, np.int64), z=number(0))
    nan = [node("IsNaN", "a", "n"), node("Not", "n", "m"), node("Cast", "m", "f", to=TensorProto.FLOAT), node("Mul", "xf")]
    case("constants that are numbers", nan, (3,), 9, 20, a=weights(3))


def moves(case: Case) -> None:
    for mode in ("DCR", "CRD"):
        case(f"depth to space {mode}", [node("DepthToSpace", blocksize=2, mode=mode)], IMAGE, 11, 13)
    case("depth to space", [node("DepthToSpace", blocksize=2)], IMAGE, 7, 13)
    case("space to depth", [node("SpaceToDepth", blocksize=2)], IMAGE, 7, 13)
    case("tile", [node("Tile", "xr")], (2, 3), 7, 13, r=whole(1, 2, 3))
    case("expand", [node("Expand", "as", "e"), node("Add", "xe")], (2, 3), 8, 13, a=weights(3), s=whole(1, 2, 3))
    case("expand to the same", [node("Expand", "xs", "e"), node("Relu", "e")], (2, 3), 8, 13, s=whole(2, 1))
    case("expand a branch", [node("Expand", "xs")], (1, 3), 8, 13, s=whole(1, 4, 1))
    for reverse in (0, 1):
        for exclusive in (0, 1):
            settings = {"reverse": reverse, "exclusive": exclusive}
            nodes = [node("CumSum", "xa", "c", **settings), node("CumSum", "ta", "d", **settings), node("Mul", "cd")]
            case(f"running sum {reverse}{exclusive}", nodes, (4, 3), 11, 14, a=np.asarray(1, np.int64), t=weights(1, 4, 3))
    case("running sum from the end", [node("CumSum", "xa")], (4, 3), 14, a=np.asarray(-1, np.int32))


def elements(case: Case) -> None:
    index = np.asarray([[[0, -1, 2], [1, 1, 0]]], np.int64)
    case("gather elements", [node("GatherElements", "xi", axis=1)], (4, 3), 11, 13, batches=(1,), i=index)
    case("gather parts", [node("GatherND", "xi", batch_dims=1)], (4, 3), 12, 13, batches=(1,), i=index[:, :, :2])
    scattered = [node("ScatterElements", "xiu", "s", axis=2), node("Relu", "s")]
    case(
        "scatter elements",
        scattered,
        (4, 3),
        11,
        16,
        batches=(1,),
        i=whole(0, 2, 1, 0).reshape(1, 2, 2)[:, :, :1],
        u=weights(1, 2, 1),
    )
    case(
        "scatter a branch",
        [node("ScatterElements", "aix", axis=2)],
        (2, 2),
        13,
        batches=(1,),
        a=weights(1, 4, 3),
        i=index[:, :, :2] % 3,
    )
    nd = [node("ScatterND", "xiu", "s"), node("GatherND", "sj", "g"), node("Reshape", "gf")]
    single = {
        "i": whole(0, 1, 0, -1).reshape(2, 2),
        "u": weights(2, 3),
        "j": whole(0, 1, 2, 0, 3, 0).reshape(2, 3),
        "f": whole(1, 2),
    }
    case("scatter and gather parts", nd, (4, 3), 11, 13, 18, batches=(1,), single=True, **single)
    hot = [node("OneHot", "idv", "h", axis=0), node("Mul", "xh")]
    case("one hot", hot, (4, 3), 11, i=whole(1, -1, 0), d=np.asarray(4, np.int64), v=np.asarray([0.5, 2], np.float32))
    counted = [node("ReduceProd", "a", "p", axes=[0], keepdims=0), node("Cast", "p", "f", to=1), node("Mul", "xf")]
    case("product of sizes", counted, (4, 3), 11, 13, a=whole(2, 3))
    case(
        "product of constants", [node("ReduceProd", "ai", "p"), node("Mul", "xp")], (4, 3), 18, a=weights(2, 3), i=whole(1)[:0]
    )
    found = [node("NonZero", "a", "n"), node("Squeeze", "n", "s"), node("Gather", "xs", axis=1)]
    case("places of truth", found, (4, 3), 9, 11, a=np.asarray([True, False, True, True]))


def contractions(case: Case) -> None:
    x = (3, 4, 5)
    w = {"w": weights(4, 6)}
    case("einsum by a matrix", [node("Einsum", "xw", equation="bhij,ik->bhkj")], x, 12, 13, **w)
    case("einsum from the left", [node("Einsum", "wx", equation="ik,bhij->bjhk")], x, 12, **w)
    case("einsum over two axes", [node("Einsum", "xw", equation="bhij,hjk->bik")], x, 12, w=weights(3, 5, 2))
    case("einsum with heads", [node("Einsum", "xw", equation="bhij,hjk->bhik")], x, 12, w=weights(3, 5, 2))
    case("einsum element by element", [node("Einsum", "xw", equation="bhij,ij->bhij")], x, 12, w=weights(4, 5))
    case("einsum outer", [node("Einsum", "xw", equation="bi,j->bji")], (3,), 12, w=weights(4))
    case("einsum of scores", [node("Neg", outputs="n"), node("Einsum", "xn", equation="bhid,bhjd->bhij")], x, 12, 13)
    case("einsum of branches", [node("Neg", outputs="n"), node("Einsum", "xn", equation="bhid,bhjd->bij")], x, 12)
    case("einsum of dots", [node("Neg", outputs="n"), node("Einsum", "xn", equation="bid,bid->bi")], (4, 5), 12)
    case("einsum of one", [node("Einsum", "x", equation="bhij->bjh")], x, 12)
    case(
        "einsum without a result",
        [
            node("Einsum", "xw", equation="bi, ij"),
        ],
        (4,),
        12,
        **w,
    )
    case("einsum summing alone", [node("Einsum", "xw", equation="bhij,ik->bk")], x, 12, **w)
    folded = [node("Einsum", "vw", "e", equation="ai,ik->ak"), node("Mul", "xe")]
    case("einsum of constants", folded, (6,), 12, v=weights(1, 4), **w)


def norms(case: Case) -> None:
    nodes = [node("GroupNormalization", "xsb", num_groups=2, epsilon=0.01)]
    case("group norm", nodes, IMAGE, 18, s=weights(2), b=weights(2))
    case("group norm of channels", nodes, IMAGE, 21, s=weights(4), b=weights(4))


def recurrent(case: Case) -> None:
    turn = node("Transpose", outputs="t", perm=[1, 0, 2])
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for sides, direction in ((1, "forward"), (1, "reverse"), (2, "bidirectional")):
            own: dict[str, Array] = {"w": weights(sides, gates * HIDDEN, 3), "r": weights(sides, gates * HIDDEN, HIDDEN)}
            settings = {"hidden_size": HIDDEN, "direction": direction}
            whole_ = [turn, node(kind, "twrb", "s", **settings), node("Transpose", "s", perm=[2, 0, 1, 3])]
            case(f"{kind} {direction}", whole_, SEQUENCE, 7, 14, b=weights(sides, 2 * gates * HIDDEN), **own)
            last = [turn, node(kind, "twr", ["", "h"], **settings), node("Transpose", "h", perm=[1, 0, 2])]
            case(f"{kind} {direction}, last", last, SEQUENCE, 14, 22, **own)
        inner = {**own, "b": weights(2, 2 * gates * HIDDEN), "h": weights(2, 1, HIDDEN)}
        started = [turn, node(kind, ["t", "w", "r", "b", "", "h"], "s", **settings), node("Transpose", "s", perm=[2, 0, 1, 3])]
        case(f"{kind} from a state", started, SEQUENCE, 14, batches=(1,), **inner)
    names = {
        "w": weights(1, 4 * HIDDEN, 3),
        "r": weights(1, 4 * HIDDEN, HIDDEN),
        "b": weights(1, 8 * HIDDEN),
        "l": np.asarray([5], np.int32),
    }
    memory = [turn, node("LSTM", "twrbl", ["", "", "c"], hidden_size=HIDDEN), node("Transpose", "c", perm=[1, 0, 2])]
    case("memory", memory, SEQUENCE, 14, batches=(1,), **names)
    names = {"w": weights(1, 3 * HIDDEN, 3), "r": weights(1, 3 * HIDDEN, HIDDEN), "b": weights(1, 6 * HIDDEN)}
    reset = [
        turn,
        node("GRU", "twrb", "s", hidden_size=HIDDEN, linear_before_reset=1),
        node("Transpose", "s", perm=[2, 0, 1, 3]),
    ]
    case("GRU reset later", reset, SEQUENCE, 7, 14, **names)
    names = {"w": weights(1, HIDDEN, 3), "r": weights(1, HIDDEN, HIDDEN)}
    rectified = [
        turn,
        node("RNN", "twr", "s", hidden_size=HIDDEN, activations=["Relu"]),
        node("Transpose", "s", perm=[2, 0, 1, 3]),
    ]
    case("RNN of rectifiers", rectified, SEQUENCE, 14, **names)
