"""ONNX files against ONNX Runtime, operator by operator and file by file, and against the other reader."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import read_module
from ballproof.networks.architectures import wk_small
from ballproof.networks.onnx_file import read_onnx

Array = np.ndarray[Any, Any]
RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def whole(*values: int) -> Array:
    return np.asarray(values, np.int64)


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: dict[str, Array] | None = None,
    opset: int = 17,
    output: str = "y",
) -> bytes:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    tensors = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def reference(content: bytes, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def agrees(content: bytes, shape: Sequence[int], batches: Sequence[int] = (1, 3)) -> None:
    graph = read_onnx(content)
    for batch in batches:
        x = RANDOM.random(size=(batch, *shape), dtype=np.float32) * 2 - 1
        found, wanted = graph(torch.from_numpy(x)).numpy(), reference(content, x)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def node(kind: str, inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",), **settings: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), **settings)


IMAGE = (2, 7, 6)
CASES: dict[str, tuple[list[onnx.NodeProto], Sequence[int], dict[str, Array], int]] = {
    "gemm": ([node("Gemm", "xwb", alpha=0.5, beta=2.0, transB=1)], (5,), {"w": weights(3, 5), "b": weights(3)}, 17),
    "gemm plain": ([node("Gemm", "xwb")], (5,), {"w": weights(5, 3), "b": weights(1, 3)}, 9),
    "matmul": ([node("MatMul", "xw")], (4, 5), {"w": weights(5, 3)}, 17),
    "matmul left": ([node("MatMul", "wx")], (4, 5), {"w": weights(3, 4)}, 17),
    "conv": (
        [node("Conv", "xwb", strides=[2, 1], pads=[1, 0, 1, 0], dilations=[1, 2])],
        IMAGE,
        {"w": weights(3, 2, 3, 2), "b": weights(3)},
        11,
    ),
    "conv uneven": ([node("Conv", "xw", pads=[0, 1, 2, 0])], IMAGE, {"w": weights(3, 2, 3, 3)}, 7),
    "conv same upper": ([node("Conv", "xw", auto_pad="SAME_UPPER", strides=[2, 2])], IMAGE, {"w": weights(3, 2, 3, 2)}, 17),
    "conv same lower": ([node("Conv", "xw", auto_pad="SAME_LOWER", strides=[2, 2])], IMAGE, {"w": weights(3, 2, 3, 2)}, 17),
    "conv groups": ([node("Conv", "xw", group=2)], IMAGE, {"w": weights(4, 1, 3, 3)}, 17),
    "conv 1d": ([node("Conv", "xw", pads=[1, 1])], (2, 9), {"w": weights(3, 2, 3)}, 17),
    "conv transpose": (
        [node("ConvTranspose", "xwb", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0])],
        IMAGE,
        {"w": weights(2, 3, 3, 3), "b": weights(3)},
        17,
    ),
    "batch norm": (
        [node("BatchNormalization", "xsbmv", epsilon=1e-3)],
        IMAGE,
        {"s": weights(2), "b": weights(2), "m": weights(2), "v": np.abs(weights(2))},
        9,
    ),
    "relu": ([node("Relu")], IMAGE, {}, 7),
    "leaky relu": ([node("LeakyRelu", alpha=0.3)], IMAGE, {}, 7),
    "abs neg": ([node("Abs", outputs="a"), node("Neg", "a")], IMAGE, {}, 7),
    "clip 7": ([node("Clip", min=0.0)], IMAGE, {}, 7),
    "clip 13": ([node("Clip", ["x", "lo"])], IMAGE, {"lo": np.float32(0).reshape(())}, 13),
    "arithmetic": (
        [node("Add", "xa", "p"), node("Sub", "bp", "q"), node("Mul", "qa", "r"), node("Div", "ra")],
        IMAGE,
        {"a": weights(2, 1, 1) + 3, "b": weights(1, 2, 7, 6)},
        17,
    ),
    "residual": ([node("Relu", outputs="r"), node("Add", "rx", "s"), node("Sum", "srx")], IMAGE, {}, 17),
    "flatten": ([node("Flatten")], IMAGE, {}, 7),
    "reshape 1": ([node("Reshape", "xs")], IMAGE, {"s": whole(1, -1)}, 13),
    "reshape 0": ([node("Reshape", "xs")], IMAGE, {"s": whole(0, 2, -1)}, 13),
    "reshape -1": ([node("Reshape", "xs")], IMAGE, {"s": whole(-1, 84)}, 13),
    "transpose": ([node("Transpose", perm=[0, 2, 3, 1])], IMAGE, {}, 17),
    "squeeze": ([node("Unsqueeze", "xa", "u"), node("Squeeze", "ub")], IMAGE, {"a": whole(1, -1), "b": whole(1)}, 13),
    "squeeze 11": ([node("Unsqueeze", axes=[1], outputs="u"), node("Squeeze", "u", axes=[1])], IMAGE, {}, 11),
    "concat": ([node("Relu", outputs="r"), node("Concat", "xr", axis=-1)], IMAGE, {}, 17),
    "slice 1": ([node("Slice", starts=[1], ends=[-1], axes=[2])], IMAGE, {}, 9),
    "slice 13": (
        [node("Slice", "xsead")],
        IMAGE,
        {"s": whole(0, 5), "e": whole(1, 0), "a": whole(1, -1), "d": whole(1, -2)},
        13,
    ),
    "gather": ([node("Gather", "xi", axis=2)], IMAGE, {"i": whole(3, -1, 3)}, 17),
    "gather one": ([node("Gather", "xi", axis=1)], IMAGE, {"i": np.asarray(-1, np.int64)}, 17),
    "split": ([node("Split", "xs", "ab", axis=2), node("Concat", "ba", axis=2)], IMAGE, {"s": whole(3, 4)}, 13),
    "split 11": ([node("Split", outputs="ab", axis=1), node("Sub", "ab")], IMAGE, {}, 11),
    "pad 2": ([node("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=1.5)], IMAGE, {}, 7),
    "pad reflect": ([node("Pad", "xp", mode="reflect")], IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}, 13),
    "pad edge": ([node("Pad", "xp", mode="edge")], IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 2, 1)}, 13),
    "average pool": ([node("AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0])], IMAGE, {}, 11),
    "average pool counted": ([node("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)], IMAGE, {}, 11),
    "max pool": ([node("MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0])], IMAGE, {}, 12),
    "max pool ceil": ([node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], IMAGE, {}, 12),
    "max pool dilated": ([node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])], IMAGE, {}, 12),
    "global pools": (
        [node("GlobalAveragePool", outputs="a"), node("GlobalMaxPool", outputs="m"), node("Sub", "am")],
        IMAGE,
        {},
        17,
    ),
    "reduce mean": ([node("ReduceMean", axes=[2, -1], keepdims=0)], IMAGE, {}, 13),
    "reduce sum 13": ([node("ReduceSum", "xa")], IMAGE, {"a": whole(1)}, 13),
    "dropout": ([node("Dropout", outputs="d"), node("Identity", "d")], IMAGE, {}, 12),
    "shape plumbing": (
        [
            node("Shape", outputs="s"),
            node("Gather", "si", "f", axis=0),
            node("Unsqueeze", "fz", "u"),
            node("Concat", "um", "t", axis=0),
            node("Reshape", "xt"),
        ],
        IMAGE,
        {"i": np.asarray(0, np.int64), "z": whole(0), "m": whole(-1)},
        13,
    ),
    "opset 21": ([node("Relu", outputs="r"), node("Flatten", "r")], IMAGE, {}, 21),
}


@pytest.mark.parametrize("name", list(CASES))
def test_operators_agree_with_the_runtime(name: str) -> None:
    nodes, shape, constants, opset = CASES[name]
    batches = (1,) if name == "reshape 1" else (1, 3)
    agrees(model(nodes, ["batch", *shape], constants, opset), shape, batches)


REFUSED: dict[str, tuple[bytes, str]] = {
    "operator": (model([helper.make_node("Sigmoid", ["x"], ["y"], name="s1")], [1, 4]), r"`s1`.*Sigmoid.*supported: Abs"),
    "two factors": (model([node("MatMul", "xx")], [1, 4, 4]), "depends on the input"),
    "opset": (model([node("Relu")], [1, 4], opset=6), "opset 6; supported: 7 to 22"),
    "nan": (model([node("Add", "xc")], [1, 4], {"c": np.full(4, np.nan, np.float32)}), "`c` hold NaN"),
    "dangling": (model([node("Add", "xq")], [1, 4]), "`q`, which nothing gives"),
    "batch": (model([node("Transpose", perm=[1, 0])], [1, 4]), "batch"),
    "fixed batch": (model([node("Relu")], [8, 4]), r"shape \[8, 4\]"),
    "attribute": (model([node("Relu", flavour=3)], [1, 4]), "flavour"),
    "clip": (model([node("Clip", min=0.0, max=6.0)], [1, 4], opset=7), r"\[0.0, 6.0\]"),
    "indices": (
        model([node("MaxPool", "x", ["m", "i"], kernel_shape=[2, 2]), node("Cast", "i", "y", to=1)], [1, 1, 4, 4]),
        "`i` is not modelled",
    ),
    "rubbish": (b"\x08\x07rubbish", "no ONNX"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_refusals_are_one_line_that_names_the_cause(name: str) -> None:
    content, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        read_onnx(content)
    assert "\n" not in str(caught.value)


def test_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx"):
        read_onnx(tmp_path / "none.onnx")
    broken = tmp_path / "cut.onnx.gz"
    broken.write_bytes(gzip.compress(model([node("Relu")], [1, 4]))[:-20])
    with pytest.raises(InputError, match=r"cut\.onnx\.gz"):
        read_onnx(broken)


def test_external_weights_are_refused() -> None:
    parsed = onnx.load_model_from_string(model([node("Add", "xc")], [1, 4], {"c": weights(4)}))
    tensor = parsed.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(UnsupportedError, match="external"):
        read_onnx(parsed.SerializeToString())


def test_both_readers_give_the_same_graph(data_dir: Path) -> None:
    module = wk_small().eval()
    module.load_state_dict(load_file(data_dir / "pretrained" / "mnist.safetensors"))
    ours = read_module(module, torch.zeros(1, 1, 28, 28))
    theirs = read_onnx(data_dir / "pretrained" / "mnist.onnx")
    assert [n.operation for n in ours.varying] == [n.operation for n in theirs.varying]
    for a, b in zip(ours.varying, theirs.varying, strict=True):
        for i, j in zip(a.inputs, b.inputs, strict=True):
            if i in ours.values:
                assert torch.equal(ours.values[i], theirs.values[j])


READABLE = {
    "acasxu": True, "cgan_2023": True, "cifar10_resnet_2021": True, "collins_rul_cnn": True, "dist_shift_2023": False,
    "eran_2021": False, "lsnc_2024": False, "marabou-cifar10_2021": True, "ml4acopf_2024": False, "mnist_fc": True,
    "nn4sys_2023": True, "oval21": True, "reach_prob_density": True, "rl_benchmarks": True, "sri_resnet_a": True,
    "sri_resnet_b": True, "tllverifybench": True, "traffic_signs_2023": False, "verivital_2021": True, "vit_2023": False,
}  # fmt: skip


@pytest.mark.parametrize("benchmark", list(READABLE))
def test_one_network_of_each_benchmark(benchmark: str, data_dir: Path) -> None:
    file = min((data_dir / "vnncomp" / benchmark / "onnx").glob("*.onnx.gz"))
    if not READABLE[benchmark]:
        with pytest.raises(UnsupportedError, match="node `"):
            read_onnx(file)
        return
    content = gzip.decompress(file.read_bytes())
    graph = read_onnx(file)
    fixed = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    x = RANDOM.random(size=[n if isinstance(n, int) else 1 for n in fixed], dtype=np.float32)
    found = graph(torch.from_numpy(x).reshape(1, *graph.input_shape)).numpy().reshape(-1)
    np.testing.assert_allclose(found, reference(content, x).reshape(-1), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "svhn", "har", "cifar_small_8px_stage0", "mnist_small_0_3_stage2"])
def test_published_networks(name: str, data_dir: Path) -> None:
    content = (data_dir / "pretrained" / f"{name}.onnx").read_bytes()
    agrees(content, read_onnx(content).input_shape)
