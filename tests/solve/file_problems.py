"""Tiny ONNX and VNN-LIB files for the tests of `verify_files` and its commands."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def absolute_net(path: Path) -> Path:
    """y0 = |x0|, y1 = x1; written as MatMul, Relu, MatMul, without a batch axis of its own."""
    first = np.array([[1, -1, 0, 0], [0, 0, 1, -1]], dtype=np.float32)
    last = np.array([[1, 0], [1, 0], [0, 1], [0, -1]], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["z"]),
            helper.make_node("Relu", ["z"], ["a"]),
            helper.make_node("MatMul", ["a", "w2"], ["y"]),
        ],
        "absolute",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(first, "w1"), numpy_helper.from_array(last, "w2")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content = model.SerializeToString()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


DECLARED = "".join(f"(declare-const {v} Real)\n" for v in ("X_0", "X_1", "Y_0", "Y_1"))
BOX = "(assert (>= X_0 -1.0))(assert (<= X_0 1.0))(assert (>= X_1 0))(assert (<= X_1 2e0)) ; the box\n"

TWO_BOXES = (
    "(assert (or (and (>= X_0 -1) (<= X_0 -0.5) (>= X_1 0) (<= X_1 1))\n"
    "            (and (>= X_0 0.25) (<= X_0 1) (>= X_1 0) (<= X_1 1))))"
)

SPECS = {
    # name: (text behind the declarations, expected)
    "out of reach": (BOX + "(assert (>= Y_0 1.01))", "unsat"),
    "just in reach": (BOX + "(assert (>= Y_0 0.99))", "sat"),
    "a tie at the corner": (BOX + "(assert (>= Y_0 1.0))", "sat"),
    "a strict tie": (BOX + "(assert (> Y_0 1.0))", "unknown"),
    "an or, then another assert": (BOX + "(assert (or (and (>= Y_0 0.5)) (and (>= Y_1 5))))(assert (<= Y_1 -0.5))", "unsat"),
    "an or of boxes": (TWO_BOXES + "(assert (<= Y_0 0.2))", "unsat"),
    "constant inputs": ("(assert (= X_0 0.5))(assert (>= X_1 1))(assert (<= X_1 1))(assert (<= Y_0 0.49))", "unsat"),
    "constant inputs, reached": ("(assert (= X_0 0.1))(assert (>= X_1 1))(assert (<= X_1 1))(assert (<= Y_0 0.11))", "sat"),
    "an empty box": ("(assert (>= X_0 1))(assert (<= X_0 0))(assert (>= X_1 0))(assert (<= X_1 1))", "unsat"),
    "inputs related, out of reach": (BOX + "(assert (<= (+ X_0 X_1) -0.5))(assert (<= Y_0 0.4))", "unsat"),
    "inputs related, in reach": (BOX + "(assert (<= (+ X_0 X_1) -0.5))(assert (<= Y_0 0.6))", "sat"),
    "outputs beside inputs": (BOX + "(assert (< (- Y_0 X_0) -0.001))", "unsat"),
    "an output equal to a number": (BOX + "(assert (= Y_1 1.5))", "sat"),
    "always violated": (BOX, "sat"),
    "an or with a bare word": (BOX + "(assert (or (<= Y_0 -1) true))", "sat"),
    "an or between bare words": (BOX + "(assert (or (<= Y_0 -1) false (>= Y_0 0.9) false))", "sat"),
    "an or of what is out of reach": (BOX + "(assert (or (<= Y_0 -1) false))", "unsat"),
    "an assertion of a word": (BOX + "(assert true)(assert (>= Y_0 1.01))", "unsat"),
    # |x0| x1 <= 2; x0^2 x1 - |x0| x1 = |x0| (|x0| - 1) x1 <= 0, and at least -1/2
    "a product, out of reach": (BOX + "(assert (>= (* Y_0 Y_1) 2.001))", "unsat"),
    "a product, in reach": (BOX + "(assert (>= (* Y_0 Y_1) 1.999))", "sat"),
    "a product at its corner": (BOX + "(assert (>= (* 0.5 Y_0 X_1) 1))", "sat"),
    "a polynomial, out of reach": (BOX + "(assert (<= (- (* X_0 X_0 X_1) (* Y_0 X_1)) -0.501))", "unsat"),
    "a polynomial, in reach": (BOX + "(assert (<= (* Y_1 (- (* X_0 X_0) Y_0)) -0.499))", "sat"),
    "inputs multiplied": (BOX + "(assert (>= (* X_0 X_1) 1.5))(assert (<= Y_0 0.7))", "unsat"),
}


def write(folder: Path, text: str, name: str = "spec.vnnlib") -> Path:
    path = folder / name
    content = (DECLARED + text).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
