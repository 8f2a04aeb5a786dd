"""Proofs by neurons of networks that are no chain: with pooling, branches and clips, which the checker writes by rectifiers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper

from ballproof.certificate.by_neurons import graph_of
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.writer import write_certificate
from oracles.onnx_nets import write_nodes, write_property

RNG = np.random.default_rng(0)
LEAST = -1.26
"""Of the first output, over the corners of the box."""


def network(path: Path) -> Path:
    """4x4 pixels, a convolution, pooling by the largest, a clipped layer with a branch beside it."""
    rng = np.random.default_rng(0)
    sizes = {"k": (2, 1, 3, 3), "w": (8, 6), "v": (6, 6), "u": (6, 2)}
    weights = {
        n: (rng.normal(size=s) / np.sqrt(np.prod(s[:-1]) if n != "k" else 9)).astype(np.float32) for n, s in sizes.items()
    }
    weights |= {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("Clip", ["d", "low", "high"], ["e"]),
        helper.make_node("MatMul", ["e", "v"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        helper.make_node("Add", ["g", "d"], ["h"]),
        helper.make_node("MatMul", ["h", "u"], ["y"]),
    ]
    return write_nodes(path, nodes, (1, 1, 4, 4), weights)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return network(tmp_path / "net.onnx")


def test_the_graph_of_matrices_is_the_network(net: Path) -> None:
    graph = graph_of(read_network(net), None)
    assert graph is not None
    session = onnxruntime.InferenceSession(str(net), providers=["CPUExecutionProvider"])
    for _ in range(20):
        x = RNG.normal(size=(1, 1, 4, 4)).astype(np.float32)
        told = graph(torch.from_numpy(x.astype(np.float64)).flatten(1)).detach().numpy()
        assert np.allclose(told, session.run(None, {"x": x})[0], atol=1e-5)


def test_a_proof_by_neurons_is_found_and_checks_in_both_arithmetics(tmp_path: Path, net: Path) -> None:
    low, high = np.full(16, -0.3), np.full(16, 0.3)
    claim = write_property(tmp_path / "p.vnnlib", low, high, 2, f"(<= Y_0 {LEAST - 0.47})")
    assert write_certificate(tmp_path / "c.gz", net, claim, 60, deployed=True).whole
    lines = gzip.decompress((tmp_path / "c.gz").read_bytes()).decode().split("\n")
    assert "g 0" in lines and any(line.startswith("n ") for line in lines)
    for exact in (False, True):
        assert "float32" in check(tmp_path / "c.gz", net, claim, exact=exact).semantics
