"""Small networks and properties as files, and their exact values in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layers = list[tuple[np.ndarray, np.ndarray]]


def dense(seed: int, *sizes: int, size: float = 1.0) -> Layers:
    """Random weights in float32."""
    rng = np.random.default_rng(seed)
    pairs = pairwise(sizes)
    return [
        ((size * rng.normal(size=(b, a)) / a**0.5).astype(np.float32), rng.normal(size=b).astype(np.float32)) for a, b in pairs
    ]


def write_dense(path: Path, layers: Layers) -> Path:
    """Gemm and Relu, in turn."""
    nodes, constants, last = [], [], "x"
    for i, (weight, bias) in enumerate(layers):
        constants += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        out = "y" if i == len(layers) - 1 else f"z{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [out], transB=1))
        last = out
        if i < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [out], [f"r{i}"]))
            last = f"r{i}"
    ends = [("x", layers[0][0].shape[1]), ("y", layers[-1][0].shape[0])]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k]) for n, k in ends)
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y], constants), opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def write_nodes(path: Path, nodes: list[Any], shape: Sequence[int], weights: dict[str, np.ndarray], version: int = 13) -> Path:
    """A graph from `x` of this shape to `y`."""
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
    ]
    constants = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def write_property(path: Path, low: np.ndarray, high: np.ndarray, outputs: int, unsafe: str) -> Path:
    """A box, and what must not hold on it."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(low))] + [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        lines += [f"(assert (>= X_{i} {_decimal(a)}))", f"(assert (<= X_{i} {_decimal(b)}))"]
    path.write_text("\n".join([*lines, f"(assert {unsafe})"]) + "\n")
    return path


def _decimal(value: float) -> str:
    return f"{float(value):.12f}"


def exact(layers: Layers, x: np.ndarray) -> list[Fraction]:
    """The network's value in the real numbers."""
    value = [Fraction(float(v)) for v in x]
    for i, (weight, bias) in enumerate(layers):
        rows = [[Fraction(float(w)) for w in row] for row in weight]
        value = [
            sum((w * v for w, v in zip(row, value, strict=True)), Fraction(float(b))) for row, b in zip(rows, bias, strict=True)
        ]
        value = [max(v, Fraction(0)) for v in value] if i < len(layers) - 1 else value
    return value


def in_float32(layers: Layers, x: np.ndarray, order: np.random.Generator) -> np.ndarray:
    """The network's value in float32, every sum in a random order, products fused into it or not."""
    value = x.astype(np.float32)
    for i, (weight, bias) in enumerate(layers):
        fused = bool(order.integers(2))
        rows = []
        for row, b in zip(weight, bias, strict=True):
            terms = [(float(w), float(v)) for w, v in zip(row, value, strict=True)] + [(float(b), 1.0)]
            total = np.float32(0)
            for w, v in (terms[k] for k in order.permutation(len(terms))):
                total = np.float32(float(total) + w * v) if fused else np.float32(total + np.float32(w * v))
            rows.append(total)
        value = np.array(rows, np.float32)
        value = np.maximum(value, 0) if i < len(layers) - 1 else value
    return value
