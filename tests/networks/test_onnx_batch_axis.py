"""Files without a batch axis, or with one example at a time: the graph adds the batch, and examples do not touch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx_models import Array, drawn, model, node, number, reference, value, weights, whole

from ballproof.errors import UnsupportedError
from ballproof.networks.onnx_file import read_onnx

Case = tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Array]]

SINGLE: dict[str, Case] = {
    "one axis": (
        [node("MatMul", "xw", "p"), node("Add", "pb", "q"), node("Relu", "q")],
        (5,),
        {"w": weights(5, 3), "b": weights(3)},
    ),
    "one axis, matrix left": ([node("MatMul", "wx")], (5,), {"w": weights(3, 5)}),
    "one axis, by a vector": ([node("MatMul", "xw")], (5,), {"w": weights(5)}),
    "one axis gets a batch": (
        [node("Unsqueeze", "xa", "u"), node("Gemm", "uwb")],
        (5,),
        {"a": whole(0), "w": weights(5, 3), "b": weights(3)},
    ),
    "one axis becomes a map": (
        [node("Reshape", "xs", "r"), node("Conv", "rw")],
        (12,),
        {"s": whole(1, 1, 3, 4), "w": weights(2, 1, 2, 2)},
    ),
    "one axis, flattened": ([node("Flatten", "x", "f"), node("MatMul", "fw")], (5,), {"w": weights(1, 3)}),
    "one axis, its size": ([node("Shape", "x", "s"), node("Cast", "s", "f", to=1), node("Div", "xf")], (5,), {}),
    "one axis, parts": (
        [
            node("Slice", "xse", "a"),
            node("Gather", "xi", "b", axis=0),
            node("Split", "x", "cd", axis=0),
            node("Concat", "abcd", axis=0),
        ],
        (6,),
        {"s": whole(1), "e": whole(4), "i": whole(-1, 0)},
    ),
    "one axis, one place": (
        [node("Gather", "xi", "g", axis=0), node("Sub", "xg", "m"), node("Add", "mc")],
        (3,),
        {"i": np.asarray(1), "c": weights(3)},
    ),
    "one axis, broadcast to rows": ([node("Mul", "xc", "m"), node("Add", "mx")], (4,), {"c": weights(3, 1)}),
    "one axis, sums": ([node("ReduceSum", "x", "t", keepdims=0), node("Sub", "tx")], (4,), {}),
    "one axis, padded": ([node("Pad", "xp", mode="edge")], (4,), {"p": whole(2, 1)}),
    "batch turned": (
        [node("Transpose", "x", "t"), node("MatMul", "wt", "m"), node("Transpose", "m")],
        (1, 5),
        {"w": weights(3, 5)},
    ),
    "batch turned by gemm": (
        [node("Transpose", "x", "t"), node("Gemm", "twb", transA=1)],
        (1, 5),
        {"w": weights(5, 3), "b": weights(3)},
    ),
    "batch gathered": ([node("Gather", "xi", "g", axis=0), node("Add", "gc")], (1, 5), {"i": np.asarray(0), "c": weights(5)}),
    "batch repeated": ([node("Concat", "xx", "c", axis=0), node("Mul", "cf")], (1, 5), {"f": weights(2, 1)}),
    "batch with constant rows": ([node("Concat", "xc", axis=0)], (1, 5), {"c": weights(3, 5)}),
    "batch squeezed": ([node("Squeeze", "x", "s"), node("MatMul", "sw")], (1, 1, 5), {"w": weights(5, 3)}),
    "batch squeezed by name": (
        [node("Squeeze", "xa", "s"), node("Conv", "sw")],
        (1, 1, 2, 3, 3),
        {"a": whole(0), "w": weights(2, 2, 2, 2)},
    ),
    "batch flattened": ([node("Flatten", "x", "f", axis=0), node("Gemm", "fw")], (1, 2, 3), {"w": weights(6, 2)}),
    "batch reshaped away": ([node("Reshape", "xs", "r"), node("MatMul", "rw")], (1, 6), {"s": whole(2, 3), "w": weights(3, 2)}),
    "batch reshaped and back": (
        [node("Reshape", "xs", "r"), node("Relu", "r", "u"), node("Reshape", "ut", "v"), node("Conv", "vw")],
        (1, 12),
        {"s": whole(-1), "t": whole(1, 1, 3, 4), "w": weights(2, 1, 2, 2)},
    ),
    "batch broadcast": ([node("Add", "xc", "a"), node("ReduceMean", "a", axes=[0])], (1, 5), {"c": weights(3, 5)}),
    "batch in front of the batch": (
        [node("Unsqueeze", "xa", "u"), node("Transpose", "u", perm=[0, 2, 1])],
        (1, 5),
        {"a": whole(0)},
    ),
    "batch summed with all": ([node("ReduceMean", "x", "m", keepdims=0), node("Mul", "mc")], (1, 2, 3), {"c": number(2)}),
    "branches with and without": ([node("Squeeze", "xa", "s"), node("Add", "xs")], (1, 5), {"a": whole(0)}),
    "batch padded": ([node("Pad", "xp")], (1, 3), {"p": whole(1, 0, 0, 2)}),
}


@pytest.mark.parametrize("name", list(SINGLE))
def test_one_example_at_a_time(name: str) -> None:
    """Each row of a batch of the graph is what the runtime computes of that example alone."""
    nodes, shape, constants = SINGLE[name]
    content = model(nodes, shape, constants, 13)
    if any(n.op_type == "ReduceMean" for n in nodes):
        content = model(nodes, shape, constants, 17)
    graph = read_onnx(content)
    assert graph.input_shape == (shape if len(shape) == 1 else shape[1:])
    xs = [drawn(*shape) for _ in range(3)]
    found = value(graph, np.stack([x.reshape(graph.input_shape) for x in xs]))
    for row, x in zip(found, xs, strict=True):
        wanted = reference(content, x)
        assert wanted.shape in (row.shape, (1, *row.shape))
        np.testing.assert_allclose(row, wanted.reshape(row.shape), rtol=0, atol=1e-5 * np.abs(wanted).max())


FREE: dict[str, tuple[list[onnx.NodeProto], Sequence[int], dict[str, Array]]] = {
    "transpose": ([node("Transpose", perm=[1, 0])], (4,), {}),
    "concat": ([node("Concat", "xx", axis=0)], (4,), {}),
    "gather": ([node("Gather", "xi", axis=0)], (4,), {"i": np.asarray(0)}),
    "slice": ([node("Slice", "xse")], (4,), {"s": whole(1), "e": whole(3)}),
    "slice that keeps a batch of one": ([node("Slice", "xse")], (4,), {"s": whole(-1), "e": whole(2**63 - 1)}),
    "slice that ends at one": ([node("Slice", "xse")], (4,), {"s": whole(0), "e": whole(1)}),
    "slice that turns the batch": (
        [node("Slice", "xsead")],
        (4,),
        {"s": whole(-1), "e": whole(-99), "a": whole(0), "d": whole(-1)},
    ),
    "split": ([node("Split", outputs="yz", axis=0)], (4,), {}),
    "flatten": ([node("Flatten", axis=0)], (4,), {}),
    "flatten later": ([node("Flatten", axis=2)], (4, 3), {}),
    "reshape": ([node("Reshape", "xs")], (4,), {"s": whole(2, -1)}),
    "reshape to a row": ([node("Reshape", "xs")], (4,), {"s": whole(-1)}),
    "squeeze": ([node("Squeeze", "xa")], (4,), {"a": whole(0)}),
    "unsqueeze": ([node("Unsqueeze", "xa")], (4,), {"a": whole(0)}),
    "sum of all": ([node("ReduceSum")], (4,), {}),
    "mean of the batch": ([node("ReduceMean", axes=[0])], (4,), {}),
    "constant rows": ([node("Add", "xc")], (4,), {"c": weights(3, 4)}),
    "constant of more axes": ([node("Mul", "xc")], (4,), {"c": weights(2, 3, 4)}),
    "constant of more axes, one in front": ([node("Mul", "xc")], (4,), {"c": weights(1, 3, 4)}),
    "bias of more axes": ([node("MatMul", "xw", "p"), node("Add", "pc")], (4,), {"w": weights(4, 3), "c": weights(1, 1, 3)}),
    "branches of other ranks": ([node("Unsqueeze", "xa", "u"), node("Add", "ux")], (4,), {"a": whole(2)}),
    "concat of constant rows": ([node("Concat", "xc", axis=1)], (4,), {"c": weights(3, 4)}),
    "matrix left": ([node("MatMul", "wx")], (4,), {"w": weights(3, 1)}),
    "stack of matrices": ([node("MatMul", "xw")], (4,), {"w": weights(1, 4, 3)}),
    "gemm transA": ([node("Gemm", "xw", transA=1)], (4,), {"w": weights(1, 3)}),
    "pad": ([node("Pad", "xp")], (4,), {"p": whole(1, 0, 0, 0)}),
}


@pytest.mark.parametrize("name", list(FREE))
def test_a_free_batch_is_never_touched(name: str) -> None:
    nodes, shape, constants = FREE[name]
    kind = nodes[-1].op_type
    with pytest.raises(UnsupportedError, match=rf"`{kind}_{len(nodes) - 1}` \({kind}\): "):
        read_onnx(model(nodes, ["batch", *shape], constants, 13))
