"""What ONNX Runtime computes, and what the checker of certificates says about the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from ballproof.certificate.checker.arithmetic import Arithmetic
from ballproof.certificate.checker.network import Network
from ballproof.certificate.checker.rounded import Bounds


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
