"""Little ONNX models for the tests, and what ONNX Runtime says that they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from ballproof.graph import Graph

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)
TOLERANCE = 1e-5
"""Relative to the largest output: two ways to add up a few hundred float32 differ by less."""


def weights(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def whole(*values: int) -> Array:
    return np.asarray(values, np.int64)


def number(value: float) -> Array:
    return np.asarray(value, np.float32)


def node(kind: str, inputs: Sequence[str] = "x", outputs: Sequence[str] = "y", **settings: Any) -> onnx.NodeProto:
    """A node; arguments with names of one letter can be given as one word."""
    return helper.make_node(kind, list(inputs), list(outputs), **settings)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: dict[str, Array] | None = None,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """A model from `x` of this shape to `y`."""
    inputs = [helper.make_tensor_value_info("x", kind, list(shape))]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    tensors = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def runtime(content: bytes) -> onnxruntime.InferenceSession:
    """Without its own rewriting of the graph, so that the file itself is the oracle."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def reference(content: bytes, x: Array) -> Array:
    session = runtime(content)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def drawn(*shape: int) -> Array:
    return RANDOM.uniform(-1, 1, size=shape).astype(np.float32)


def value(graph: Graph, x: Array) -> Array:
    return np.asarray(graph(torch.from_numpy(x)).numpy())


def close(found: Array, wanted: Array) -> None:
    """Equal shapes, and values equal to float32's accuracy. NaN on either side is a failure."""
    assert found.shape == wanted.shape
    scale = np.abs(wanted).max(initial=0)
    assert np.isfinite(scale)
    assert np.abs(found - wanted).max(initial=0) <= TOLERANCE * scale
