"""Every operation that the checker reads, against ONNX Runtime: at points, on boxes, and in every float32 order it can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError
from ballproof.certificate.checker.network import Network
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.operators import RULES
from ballproof.certificate.checker.rounded import Bounds
from ballproof.operations import registered
from oracles.onnx_nets import write_nodes

RNG = np.random.default_rng(0)
WHOLE = np.int64


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, WHOLE)


IMAGE, ROWS, FLAT = (1, 4, 5, 4), (1, 3, 4), (1, 6)

CASES: list[tuple[str, tuple[int, ...], Sequence[Any], dict[str, Any]]] = [
    ("Identity", FLAT, [], {}),
    ("Dropout", FLAT, [], {}),
    ("Cast", FLAT, [], {"to": TensorProto.FLOAT}),
    ("Flatten", IMAGE, [], {"axis": 2}),
    ("Reshape", IMAGE, [ints(0, -1, 2)], {}),
    ("Transpose", IMAGE, [], {"perm": [0, 2, 3, 1]}),
    ("Squeeze", (1, 3, 1, 2), [ints(2)], {}),
    ("Unsqueeze", ROWS, [ints(0, -1)], {}),
    ("Slice", IMAGE, [ints(-1, 0), ints(-(2**40), 2), ints(2, 3), ints(-2, 1)], {}),
    ("Gather", ROWS, [ints(2, 0, 2)], {"axis": -1}),
    ("Expand", (1, 3, 1), [ints(2, 1, 4)], {}),
    ("Concat", ROWS, ["x", normal(1, 3, 2), "x"], {"axis": 2}),
    ("Concat", ROWS, ["x", "a"], {"axis": 1}),
    ("Pad", IMAGE, [ints(0, 0, 1, 0, 0, 1, 0, 2)], {}),
    ("Add", ROWS, [normal(3, 1)], {}),
    ("Add", ROWS, ["x", "a"], {}),
    ("Sub", ROWS, [normal(4)], {}),
    ("Sub", ROWS, [normal(1, 3, 4), "x"], {}),
    ("Sum", ROWS, ["x", "a", "x"], {}),
    ("Neg", ROWS, [], {}),
    ("Mul", ROWS, [normal(4)], {}),
    ("Mul", ROWS, ["x", "a"], {}),
    ("Mul", ROWS, ["x", "x"], {}),
    ("Div", ROWS, [normal(3, 1)], {}),
    ("Div", ROWS, ["x", "p"], {}),
    ("Div", ROWS, [normal(4), "p"], {}),
    ("Gemm", FLAT, [normal(6, 5), normal(5)], {}),
    ("Gemm", FLAT, [normal(5, 6), normal(1, 5)], {"transB": 1}),
    ("MatMul", ROWS, [normal(4, 5)], {}),
    ("MatMul", (1, 4, 4), ["x", "a"], {}),
    ("Elu", ROWS, [], {"alpha": 0.7}),
    ("MatMul", (3, 4), [normal(5, 3), "x"], {}),
    ("Conv", IMAGE, [normal(6, 4, 3, 2), normal(6)], {"pads": [1, 0, 0, 1], "strides": [2, 1]}),
    ("Conv", IMAGE, [normal(6, 2, 2, 2)], {"group": 2, "dilations": [2, 1]}),
    ("Conv", IMAGE, [normal(8, 1, 3, 3), normal(8)], {"group": 4, "pads": [1, 1, 1, 1]}),
    (
        "ConvTranspose",
        IMAGE,
        [normal(4, 3, 3, 2), normal(3)],
        {"strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 0]},
    ),
    ("BatchNormalization", IMAGE, [normal(4), normal(4), normal(4), np.abs(normal(4))], {"epsilon": 1e-3}),
    ("BatchNormalization", FLAT, [normal(6), normal(6), normal(6), np.abs(normal(6))], {}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 2], "strides": [2, 1]}),
    ("AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("GlobalAveragePool", IMAGE, [], {}),
    ("ReduceMean", ROWS, [], {"axes": [1], "keepdims": 0}),
    ("ReduceSum", ROWS, [ints(-1, 1)], {}),
    ("Relu", ROWS, [], {}),
    ("PRelu", ROWS, [normal(3, 1)], {}),
    ("LeakyRelu", ROWS, [], {"alpha": 0.1}),
    ("Abs", ROWS, [], {}),
    ("Clip", ROWS, [np.float32(-0.5), np.float32(0.7)], {}),
    ("Clip", ROWS, [None, np.float32(0.2)], {}),
    ("Max", ROWS, ["x", normal(3, 1), "a"], {}),
    ("Min", ROWS, [normal(3, 1), "x", "a"], {}),
    ("MaxPool", IMAGE, [], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    ("Pow", ROWS, [np.float32(2)], {}),
    ("Softmax", ROWS, [], {"axis": -1}),
    ("ReduceLogSumExp", ROWS, [], {"axes": [-1]}),
    *(
        (name, ROWS, [], {})
        for name in (
            "Sigmoid",
            "Tanh",
            "Erf",
            "Exp",
            "Softplus",
            "Sin",
            "Cos",
            "Atan",
            "HardSwish",
            "Gelu",
            "Mish",
            "Sign",
            "Floor",
            "Ceil",
            "Round",
        )
    ),
    *((name, ROWS, ["p"], {}) for name in ("Log", "Sqrt", "Reciprocal")),
]


def written(path: Path, name: str, shape: tuple[int, ...], operands: Sequence[Any], settings: dict[str, Any]) -> Path:
    """x, through an affine layer `a` with `p = a^2 + 1` beside it, into the operation; other operands are weights."""
    weights = {"w": normal(shape[-1], shape[-1]), "one": np.ones(1, np.float32)}
    named = []
    for k, operand in enumerate(operands):
        if not isinstance(operand, str) and operand is not None:
            weights[f"c{k}"] = np.asarray(operand)
        named.append(
            ""
            if operand is None
            else {"x": "a"}.get(operand, "h" if operand == "a" else operand)
            if isinstance(operand, str)
            else f"c{k}"
        )
    first = [] if any(o in ("x", "p") for o in operands if isinstance(o, str)) else ["a"]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["h"]),
        helper.make_node("Mul", ["a", "a"], ["s"]),
        helper.make_node("Add", ["s", "one"], ["p"]),
        helper.make_node(name, [*first, *named], ["y"], **settings),
    ]
    return write_nodes(path, nodes, shape, weights, {"HardSwish": 14, "Mish": 18, "Gelu": 20}.get(name, 13))


def runtime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    return lambda x: session.run(None, {"x": x.astype(np.float32).reshape(shape)})[0].ravel()


def told(net: Network, low: np.ndarray, high: np.ndarray, **how: bool) -> tuple[np.ndarray, np.ndarray]:
    """Proven ends of the outputs on one box."""
    exact = Arithmetic(**how)
    own, eye = net.of(exact), np.eye(net.output.index.size)
    bounds = Bounds(own, exact.number(low[None]), exact.number(high[None]), exact)
    rows = exact.number(np.concatenate([eye, -eye])[None])
    least = bounds.planes(rows, exact.number(np.zeros((1, 2 * len(eye))))).least[0].astype(float)
    return least[: len(eye)], -least[len(eye) :]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_what_the_runtime_computes_lies_inside(tmp_path: Path, case: tuple[Any, ...]) -> None:
    path = written(tmp_path / "net.onnx", *case)
    run, net, size = runtime(path), read_network(path), int(np.prod(case[1]))
    steps = case[0] in ("Sign", "Floor", "Ceil", "Round")
    for width in (0.0, 0.05, 1.0):
        low = RNG.uniform(-1, 1, size).astype(np.float32).astype(float)
        high = (low + width).astype(np.float32).astype(float)
        real = told(net, low, high)
        ends = [real, told(net, low, high, deployed=True)]
        for _ in range(8):
            x = np.clip(
                (low + RNG.random(size) * (high - low)).astype(np.float32), low.astype(np.float32), high.astype(np.float32)
            )
            y = run(x)
            for number, (below, above) in enumerate(ends):
                loose = 0.0 if number else 1e-4 * (1 + np.abs(y)) + steps
                assert bool(((below - loose <= y) & (y <= above + loose)).all())
        if width == 0 and not steps and size < 20:
            assert float((real[1] - real[0]).max()) < 1e-6 * (1 + float(np.abs(y).max()))
            exact = told(net, low, high, exact=True)
            assert bool(((real[0] <= exact[0]) & (exact[1] <= real[1])).all() or net.assumed)


OLD: list[tuple[int, str, tuple[int, ...], list[Any], dict[str, Any]]] = [
    (9, "Squeeze", (1, 3, 1, 2), [], {"axes": [2]}),
    (9, "Unsqueeze", ROWS, [], {"axes": [0, 2]}),
    (9, "Slice", IMAGE, [], {"starts": [1, -3], "ends": [2**31 - 1, -1], "axes": [1, 2]}),
    (9, "Slice", ROWS, [], {"starts": [0, 1], "ends": [1, 9]}),
    (9, "Pad", IMAGE, [], {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "mode": "constant"}),
    (9, "Clip", ROWS, [], {"min": -0.25, "max": 0.5}),
    (9, "Clip", ROWS, [], {}),
    (9, "ReduceSum", ROWS, [], {"axes": [-1], "keepdims": 0}),
    (9, "ReduceMean", ROWS, [], {}),
    (9, "Softmax", FLAT, [], {}),
    (9, "Dropout", FLAT, [], {"ratio": 0.3}),
    (9, "BatchNormalization", IMAGE, [normal(4), normal(4), normal(4), np.abs(normal(4))], {"momentum": 0.8}),
    (9, "Flatten", IMAGE, [], {"axis": 0}),
    (13, "Flatten", IMAGE, [], {"axis": -1}),
    (13, "Reshape", IMAGE, [ints(0, 2, -1)], {}),
    (13, "Gather", ROWS, [np.array(-1, WHOLE)], {"axis": 1}),
    (13, "Conv", IMAGE, [normal(2, 4, 2, 2)], {"auto_pad": "VALID"}),
    (13, "Pad", IMAGE, [ints(0, 0, 1, 0, 0, 0, 0, 2), np.float32(0)], {}),
    (13, "ReduceSum", ROWS, [ints()], {}),
    (13, "Concat", ROWS, [normal(1, 3, 1), normal(1, 3, 2)], {"axis": 2}),
    (18, "Split", (1, 4), [], {"axis": 1, "num_outputs": 1}),
    (18, "ReduceMean", ROWS, [ints(-1, 1)], {}),
    (18, "Clip", ROWS, [np.float32(-0.1)], {}),
    (18, "ReduceLogSumExp", ROWS, [ints(1)], {"keepdims": 0}),
    (18, "Squeeze", (1, 3, 1, 2), [], {}),
    (18, "AveragePool", IMAGE, [], {"kernel_shape": [2, 2], "auto_pad": "VALID"}),
]


@pytest.mark.parametrize("case", OLD, ids=[f"{i}-{c[1]}-{c[0]}" for i, c in enumerate(OLD)])
def test_what_files_of_other_versions_say_is_what_the_runtime_does(tmp_path: Path, case: tuple[Any, ...]) -> None:
    version, name, shape, operands, settings = case
    weights = {f"c{k}": np.asarray(v) for k, v in enumerate(operands)}
    node = helper.make_node(name, ["x", *weights], ["y"], **settings)
    path = write_nodes(tmp_path / "net.onnx", [node], shape, weights, version)
    net, run, size = read_network(path), runtime(path), int(np.prod(shape))
    for _ in range(3):
        x = RNG.normal(size=size).astype(np.float32)
        low, high = told(net, x.astype(float), x.astype(float))
        y = run(x)
        assert y.shape == low.shape and float(np.abs(y - low).max()) < 1e-5 and float(np.abs(high - y).max()) < 1e-5


@pytest.mark.parametrize(
    ("version", "name", "shape", "operands", "settings"),
    [
        (13, "Conv", IMAGE, [normal(2, 4, 3, 3)], {"auto_pad": "SAME_UPPER"}),
        (13, "Conv", (2, 4, 5, 4), [normal(2, 4, 3, 3)], {}),
        (13, "Conv", (1, 4, 9), [normal(2, 4, 3)], {}),
        (13, "MaxPool", IMAGE, [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        (13, "AveragePool", IMAGE, [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        (13, "AveragePool", IMAGE, [], {"kernel_shape": [2, 2], "ceil_mode": 1}),
        (13, "Gemm", FLAT, [normal(6, 5), normal(5)], {"alpha": 0.5}),
        (13, "Gemm", FLAT, [normal(6, 5), normal(5)], {"beta": 2.0}),
        (13, "Gemm", (6, 1), [normal(6, 5)], {"transA": 1}),
        (13, "Pad", IMAGE, [ints(0, 0, 1, 0, 0, 0, 0, 0), np.float32(1)], {}),
        (13, "Pad", IMAGE, [ints(0, 0, 1, 0, 0, 0, 0, 0)], {"mode": "reflect"}),
        (13, "Pad", IMAGE, [ints(0, 0, -1, 0, 0, 0, 0, 0)], {}),
        (14, "BatchNormalization", FLAT, [normal(6), normal(6), normal(6), np.abs(normal(6))], {"training_mode": 1}),
        (13, "ConvTranspose", IMAGE, [normal(4, 3, 2, 2)], {"auto_pad": "SAME_UPPER"}),
        (13, "ConvTranspose", IMAGE, [normal(4, 3, 2, 2)], {"output_shape": [9, 9]}),
        (13, "ReduceSum", ROWS, [ints()], {"noop_with_empty_axes": 1}),
        (9, "Softmax", ROWS, [], {}),
        (13, "Softmax", ROWS, [], {"axis": 1}),
        (13, "Pow", ROWS, [np.float32(3)], {}),
        (13, "Hardmax", ROWS, [], {}),
        (13, "Clip", ROWS, [np.float32(1), np.float32(0)], {}),
        (6, "Relu", ROWS, [], {}),
        (23, "Relu", ROWS, [], {}),
    ],
)
def test_settings_without_a_rule_are_refused_by_name(
    tmp_path: Path, version: int, name: str, shape: tuple[int, ...], operands: list[Any], settings: dict[str, Any]
) -> None:
    weights = {f"c{k}": np.asarray(v) for k, v in enumerate(operands)}
    node = helper.make_node(name, ["x", *weights], ["y"], **settings)
    with pytest.raises(NotModelledError):
        read_network(write_nodes(tmp_path / "net.onnx", [node], shape, weights, version))


BESIDE = {
    "AdaptiveAveragePool": "no operator of ONNX: written as AveragePool or GlobalAveragePool",
    "Step": "no operator of ONNX: comparisons of the input are refused, by both readers",
    "Silu": "an operator of ONNX from version 24 on (Swish); before, read where it is written with Sigmoid and Mul",
}
"""Operations of the package that the checker has no rule for, and why that may not matter."""

NAMES = {
    "Arctan": "Atan", "LogSumExp": "ReduceLogSumExp",
    "BatchNorm": "BatchNormalization", "Clamp": "Clip", "Convolution": "Conv", "ConvolutionTransposed": "ConvTranspose",
    "Divide": "Div", "Linear": "Gemm", "MatrixProduct": "MatMul", "Mean": "ReduceMean", "Multiply": "Mul", "Negate": "Neg",
    "Permute": "Transpose", "Power": "Pow", "Prelu": "PRelu", "Product": "Mul", "Subtract": "Sub", "Sum": "ReduceSum",
}  # fmt: skip


def test_which_operations_of_the_package_the_checker_covers() -> None:
    """Every operation that is registered has a rule in the checker, or stands in the list of those that have none."""
    without = {name for name in registered() if NAMES.get(name, name) not in RULES}
    assert without == set(BESIDE)


def test_every_rule_is_tested() -> None:
    assert {c[0] for c in CASES} | {"Constant", "ConstantOfShape", "Shape", "Split"} == set(RULES)


def test_silu_is_read_where_it_is_written_with_sigmoid(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])]
    net = read_network(write_nodes(tmp_path / "net.onnx", nodes, (1, 3), {}))
    x = np.array([-2.0, 0.3, 5.0])
    low, high = told(net, x, x)
    assert bool(((low <= x / (1 + np.exp(-x))) & (x / (1 + np.exp(-x)) <= high)).all()) and float((high - low).max()) < 1e-6


@pytest.mark.parametrize(
    ("version", "name", "reason"),
    [(13, "Greater", "operation Greater"), (13, "Where", "operation Where"), (24, "Swish", "operators of version 24")],
)
def test_steps_and_silu_as_operators_are_refused_by_name(tmp_path: Path, version: int, name: str, reason: str) -> None:
    """A step is a comparison of the input; Swish came after the versions whose meaning is known here."""
    more = {"Greater": ["x"], "Where": ["x", "x"], "Swish": []}[name]
    path = write_nodes(tmp_path / "net.onnx", [helper.make_node(name, ["x", *more], ["y"])], (1, 3), {}, version)
    with pytest.raises(NotModelledError, match=reason):
        read_network(path)
