"""What is damaged or not modelled is refused in one line that names the cause."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Array, close, drawn, model, node, number, reference, value, weights, whole

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_file import read_onnx

V = (1, 4)
MAP = (1, 2, 4, 4)
LAYER = {"w": weights(3, 2, 3, 3)}
STATISTICS = {"s": weights(2), "b": weights(2), "m": weights(2), "v": np.ones(2, np.float32)}


def changed(content: bytes, change: str) -> bytes:
    """A model after a change of its message, written as Python on `m`."""
    m = onnx.load_model_from_string(content)
    exec(change, {"m": m, "helper": helper, "onnx": onnx})  # noqa: S102  the changes stand below
    return bytes(m.SerializeToString())


END = np.asarray([0, 0, -np.inf, 0], np.float32)
CELL = {"w": weights(1, 4, 4), "r": weights(1, 4, 1)}
TURN = node("Transpose", outputs="t", perm=[1, 0, 2])


def turned_lstm(**settings: object) -> bytes:
    return model([TURN, node("LSTM", "twr", hidden_size=1, **settings)], (1, 3, 4), CELL)


def peeped(peepholes: Array) -> bytes:
    nodes = [TURN, node("LSTM", ["t", "w", "r", "", "", "", "", "p"], hidden_size=1)]
    return model(nodes, (1, 3, 4), {**CELL, "p": peepholes})


RELU = model([node("Relu")], V)
UNSUPPORTED: dict[str, tuple[bytes, str]] = {
    "operator": (
        model([node("Sinh", name="s1")], V, opset=13),
        r"node `s1` \(Sinh\): operator ai\.onnx\.Sinh \(opset 13\) is not modelled; supported: Abs, .*onnx_operators",
    ),
    "operator at the end": (model([node("Relu", outputs="r"), node("Cosh", "r")], V), r"ai\.onnx\.Cosh \(opset 17\)"),
    "hardmax": (model([node("Hardmax", axis=1)], V), r"\(Hardmax\): a choice that depends on the input is not modelled; supp"),
    "largest place": (model([node("ArgMax", outputs="i"), node("Cast", "i", to=1)], V), "an index that depends on the input"),
    "product along an axis": (model([node("ReduceProd", axes=[1])], V), "ReduceProd of a value that depends on the input"),
    "comparison": (model([node("Greater", "xz", "g"), node("Where", "gxz")], V, {"z": number(0)}), "depends on the input"),
    "masked rectifier": (model([node("Add", "xm", "a"), node("Relu", "a")], V, {"m": END}), "some are -infinity; supported: m"),
    "masked output": (model([node("Add", "xm")], V, {"m": END}), "some outputs are -infinity"),
    "all masked": (model([node("Add", "xm", "a"), node("Softmax", "a")], V, {"m": END + END.min()}), "every place is masked"),
    "batch of rows": (model([node("Tile", "xr")], ["n", 4], {"r": whole(2, 1)}), "the batch axis; supported: 1 in front"),
    "einsum of the batch": (model([node("Einsum", "xw", equation="bi,ib->i")], ["n", 4], {"w": weights(4, 4)}), "batch axis"),
    "einsum with dots": (model([node("Einsum", "xw", equation="...i,ij->...j")], V, {"w": weights(4, 4)}), "no letter twice"),
    "recurrent over the batch": (model([node("LSTM", "xwr", hidden_size=1)], ["n", 3, 4], CELL), "the batch, is the time"),
    "peepholes": (peeped(weights(1, 3)), "peepholes"),
    "clipped cell": (turned_lstm(clip=1.0), "clip or input_forget"),
    "other activations": (turned_lstm(activations=["HardSigmoid", "Tanh", "Tanh"]), "of Sigmoid, Tanh, Relu"),
    "moving state": (
        model([TURN, node("LSTM", ["t", "w", "r", "", "", "t"], hidden_size=1)], (1, 1, 4), CELL),
        "an initial state that depends on the input",
    ),
    "domain": (model([node("Relu", domain="com.microsoft")], V), r"com\.microsoft\.Relu"),
    "opset low": (model([node("Relu")], V, opset=6), r"opset \[6\]; supported: 7 to 22"),
    "opset high": (changed(RELU, "m.opset_import[0].version = 23"), r"opset \[23\]; supported: 7 to 22"),
    "no opset of its own": (changed(RELU, "m.opset_import[0].domain = 'other'"), "opset none; supported: 7 to 22"),
    "two inputs": (changed(RELU, "m.graph.input.append(helper.make_tensor_value_info('z', 1, [1]))"), r"inputs \['x', 'z'\]"),
    "two outputs": (
        changed(RELU, "m.graph.output.append(helper.make_tensor_value_info('x', 1, [1]))"),
        r"outputs \['y', 'x'\]",
    ),
    "whole input": (model([node("Abs")], V, kind=TensorProto.INT64), "`x` is not of type float"),
    "half input": (model([node("Abs")], V, kind=TensorProto.FLOAT16), "`x` is not of type float"),
    "double input": (model([node("Abs")], V, kind=TensorProto.DOUBLE), r"dtype=torch\.float64"),
    "two free axes": (model([node("Relu")], [8, "n"]), r"`x` has shape \[8, '\?'\]; supported: a batch axis that is free or 1"),
    "free axis": (model([node("Relu")], [1, "n"]), r"`x` has shape \[1, '\?'\]"),
    "sparse": (changed(RELU, "m.graph.sparse_initializer.add()"), "sparse"),
    "type of weights": (
        changed(model([node("Add", "xc")], V, {"c": weights(4)}), "m.graph.initializer[0].data_type = 16"),
        "`c` has type BFLOAT16; supported: FLOAT",
    ),
    "attribute": (model([node("Relu", flavour=3)], V), "attribute `flavour` is not modelled; supported: none"),
    "attribute of a layer": (model([node("Conv", "xw", bits=3)], MAP, LAYER), "`bits` is not modelled; supported: auto_pad"),
    "auto pad": (model([node("Conv", "xw", auto_pad="NEAR")], MAP, LAYER), "auto_pad 'NEAR'; supported: NOTSET"),
    "negative pads": (model([node("Conv", "xw", pads=[0, -1, 0, 0])], MAP, LAYER), "negative pads"),
    "weight": (model([node("Conv", "xx")], MAP), "a weight that depends on the input"),
    "output too large": (
        model([node("ConvTranspose", "xw", output_shape=[9, 9])], MAP, {"w": weights(2, 3, 3, 3)}),
        r"an output of \(9, 9\), larger",
    ),
    "training": (model([node("BatchNormalization", "xsbmv", training_mode=1)], MAP, STATISTICS, 15), "training mode"),
    "spatial": (model([node("BatchNormalization", "xsbmv", spatial=0)], MAP, STATISTICS, 7), "spatial=1"),
    "dropout": (model([node("Dropout", "xrt")], V, {"r": number(0.5), "t": np.asarray(True)}), "training mode"),
    "two factors": (model([node("MatMul", "xx")], V), "as many axes on both sides"),
    "exponents": (model([node("Pow", "xc")], V, {"c": weights(4)}), "different exponents"),
    "base": (model([node("Pow", "cx")], V, {"c": number(-2)}), "the base -2.0; supported: a positive one"),
    "empty power": (model([node("Pow", "xc")], V, {"c": number(0)}), "exponent 0"),
    "slope": (model([node("PRelu", "xx")], V), "a slope that depends on the input"),
    "gelu": (model([node("Gelu", approximate="erf")], V, opset=20), "approximate='erf'"),
    "bias": (model([node("Gemm", "xwx")], V, {"w": weights(4, 4)}), "a bias that depends on the input"),
    "bias of rows": (model([node("Gemm", "xwb")], V, {"w": weights(4, 3), "b": weights(3, 1)}), r"a bias of shape \(3, 1\)"),
    "clip crossed": (model([node("Clip", min=1.0, max=-1.0)], V, opset=7), "low < high"),
    "cast": (model([node("Cast", outputs="h", to=10), node("Cast", "h", to=1)], V), "varying value to FLOAT16"),
    "indices": (
        model([node("MaxPool", "x", "mi", kernel_shape=[2, 2]), node("Cast", "i", to=1)], MAP),
        r"\(MaxPool\): its output `i` is not modelled; supported: the first alone",
    ),
    "average with dilation": (model([node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2])], MAP, opset=19), "dilations"),
    "max with uneven dilation": (
        model([node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 0, 0, 0])], MAP),
        "with dilations",
    ),
    "pad mode": (model([node("Pad", "xp", mode="mirror")], V, {"p": whole(0, 1, 0, 0)}), "mode 'mirror'; supported: constant"),
    "index": (model([node("Cast", to=1, outputs="i"), node("Gather", "xi")], V), "an index that depends on the input"),
    "shape": (model([node("Reshape", "xx")], V), "a shape that depends on the input"),
    "zero allowed": (model([node("Reshape", "xs", allowzero=1)], V, {"s": whole(0, 4)}), "allowzero"),
    "nothing left": (model([node("Slice", "xsea")], V, {"s": whole(2), "e": whole(2), "a": whole(1)}), "nothing is left"),
    "text": (model([node("Constant", [], "c", value_string="a"), node("Add", "xc")], V), "`value_string`"),
    "doubles": (
        model([node("Constant", [], "c", value=numpy_helper.from_array(np.full(4, 0.1))), node("Add", "xc")], V),
        r"doubles that torch\.float32 rounds",
    ),
}
DAMAGED: dict[str, tuple[bytes, str]] = {
    "nan": (model([node("Add", "xc")], V, {"c": np.full(4, np.nan, np.float32)}), "`c` hold NaN or infinities"),
    "infinity": (model([node("Add", "xc")], V, {"c": np.full(4, np.inf, np.float32)}), "`c` hold NaN or infinities"),
    "minus infinity": (model([node("Mul", "xm")], V, {"m": END}), "`m` holds NaN or infinities"),
    "nan in a node": (model([node("Constant", [], "c", value_float=float("nan")), node("Add", "xc")], V), "`c` holds NaN"),
    "overflow while folding": (
        model([node("Mul", "cc", "d"), node("Add", "xd")], V, {"c": number(3e38)}),
        "`d` holds NaN or inf",
    ),
    "division by zero": (model([node("Div", "xc")], V, {"c": np.zeros(4, np.float32)}), "a division by zero"),
    "whole division by zero": (
        model([node("Div", "ab", "c"), node("Reshape", "xc")], V, {"a": whole(1), "b": whole(0)}),
        "by zero",
    ),
    "variance": (
        model([node("BatchNormalization", "xsbmv")], MAP, {**STATISTICS, "v": -np.ones(2, np.float32)}),
        "a variance that is not positive",
    ),
    "channels": (model([node("BatchNormalization", "xsbmv")], (1, 3, 4, 4), STATISTICS), "for 3 channels"),
    "dangling": (model([node("Add", "xq")], V), r"\(Add\) takes `q`, which no earlier node gives"),
    "cycle": (model([node("Add", "xb", "a"), node("Relu", "a", "b"), node("Abs", "b")], V), "takes `b`.*cycle"),
    "given twice": (
        model([node("Relu", outputs="a"), node("Abs", "x", "a"), node("Neg", "a")], V),
        "gives `a`, which has a value",
    ),
    "constant output": (model([node("Relu", "c")], V, {"c": weights(4)}), "`y` does not depend on the input"),
    "no output": (model([node("Relu", outputs="z")], V), "`y` is given by no node"),
    "rubbish": (b"\x08\x07rubbish", "no ONNX"),
    "nothing": (b"", "no ONNX model"),
    "text file": (b"this is not a network", "no ONNX"),
    "size of a tensor": (
        changed(model([node("Add", "xc")], V, {"c": weights(4)}), "m.graph.initializer[0].dims[0] = 5"),
        "`c` is damaged",
    ),
    "weight does not fit": (model([node("Gemm", "xw")], V, {"w": weights(5, 3)}), r"\(Gemm\) does not fit its arguments"),
    "kernel shape": (model([node("Conv", "xw", kernel_shape=[2, 2])], MAP, LAYER), r"kernel_shape \[2, 2\]"),
    "groups": (
        model([node("Conv", "xw", group=2)], MAP, LAYER),
        r"2 groups and a weight of shape \(3, 2, 3, 3\) for 2 channels",
    ),
    "bias of a layer": (
        model([node("Conv", "xwb")], MAP, {**LAYER, "b": weights(1)}),
        r"a bias of shape \(1,\) for 3 channels",
    ),
    "groups of a transposed layer": (
        model([node("ConvTranspose", "xw", group=3)], MAP, {"w": weights(2, 3, 3, 3)}),
        r"3 groups and a weight of shape \(2, 3, 3, 3\)",
    ),
    "output padding": (
        model([node("ConvTranspose", "xw", output_padding=[1, 0])], MAP, {"w": weights(2, 3, 3, 3)}),
        r"output_padding \(1, 0\), expected less",
    ),
    "flag": (model([node("ReduceMean", axes=[1], keepdims=-1)], V), "keepdims is -1, expected 0 or 1"),
    "too large at zero": (
        model([node("Add", "xc", "a"), node("Add", "ac")], V, {"c": number(3e38)}),
        "gives NaN or infinities for inputs of zeros",
    ),
    "strides": (model([node("Conv", "xw", strides=[0, 1])], MAP, LAYER), r"strides \(0, 1\)"),
    "pads": (model([node("Conv", "xw", pads=[1, 1])], MAP, LAYER), r"pads \(1, 1\)"),
    "kernel too large": (model([node("MaxPool", kernel_shape=[5, 5])], MAP), r"\(MaxPool\) does not fit its arguments"),
    "places": (model([node("Gather", "xi", axis=1)], V, {"i": whole(4)}), r"places \[4\] of axis 1"),
    "axis": (model([node("Concat", "xx", axis=2)], V), r"axis 2 of a value of shape \(1, 4\)"),
    "sizes": (model([node("Split", "xs", "yz", axis=1)], V, {"s": whole(2, 3)}), r"parts of \[2, 3\]"),
    "perm": (model([node("Transpose", perm=[0, 0])], V), r"perm \(0, 0\)"),
    "reshape": (model([node("Reshape", "xs")], V, {"s": whole(1, 5)}), r"no shape \[1, 5\] for a value of shape \(1, 4\)"),
    "reshape twice unknown": (model([node("Reshape", "xs")], V, {"s": whole(-1, -1)}), "no shape"),
    "squeeze": (model([node("Squeeze", "xa")], V, {"a": whole(1)}), "are not all 1"),
    "huge": (model([node("ConstantOfShape", "s", "c"), node("Add", "xc")], V, {"s": whole(2**40)}), "at most"),
}


@pytest.mark.parametrize("name", list(UNSUPPORTED))
def test_what_is_not_modelled_is_named(name: str) -> None:
    content, words = UNSUPPORTED[name]
    with pytest.raises(UnsupportedError, match=words) as caught:
        read_onnx(content)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", list(DAMAGED))
def test_what_is_damaged_is_named(name: str) -> None:
    content, words = DAMAGED[name]
    with pytest.raises(InputError, match=words) as caught:
        read_onnx(content)
    assert len(str(caught.value).splitlines()) == 1
    assert not isinstance(caught.value, UnsupportedError)


def test_a_cut_or_changed_file_is_one_clear_line() -> None:
    """Whatever a byte becomes, the file is read or refused; nothing else is raised."""
    nodes = [
        node("Conv", "xwb", "c", pads=[0, 1, 0, 0]),
        node("Relu", "c", "r"),
        node("Reshape", "rs", "f"),
        node("Gemm", "fg"),
    ]
    content = model(
        nodes, ["batch", 1, 4, 4], {"w": weights(2, 1, 3, 3), "b": weights(2), "s": whole(0, -1), "g": weights(12, 2)}
    )
    random, told = np.random.default_rng(1), []
    for end in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[int(random.integers(len(content)))] = int(random.integers(256))
        for made in (content[:end], bytes(damaged)):
            try:
                read_onnx(made)
            except InputError as error:
                told.append(str(error))
    assert len(told) > len(content) // 7
    assert all(len(t.splitlines()) == 1 for t in told)


def test_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*none\.onnx"):
        read_onnx(tmp_path / "none.onnx")
    for name, content in {"cut.onnx.gz": gzip.compress(RELU)[:-20], "plain.onnx.gz": RELU, "cut.onnx": RELU[:40]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_onnx(tmp_path / name)


def test_the_type_of_the_graph_is_checked() -> None:
    with pytest.raises(InputError, match=r"`dtype` is torch\.float16"):
        read_onnx(RELU, dtype=torch.float16)


def external(folder: Path, location: str, array: Array, length: int | None = None) -> Path:
    """A model in `folder` whose one weight lies in another file."""
    m = onnx.load_model_from_string(model([node("Add", "xc")], V, {"c": array}))
    tensor = m.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    told = {"location": location, "offset": "8", "length": str(array.nbytes if length is None else length)}
    for key, text in told.items():
        tensor.external_data.add(key=key, value=text)
    path = folder / "net.onnx"
    path.write_bytes(m.SerializeToString())
    return path


def test_weights_in_a_file_beside_are_read(tmp_path: Path) -> None:
    array, x = weights(4), drawn(1, 4)
    (tmp_path / "w.bin").write_bytes(bytes(8) + array.tobytes() + bytes(3))
    path = external(tmp_path, "w.bin", array)
    close(value(read_onnx(path), x), reference(model([node("Add", "xc")], V, {"c": array}), x))
    with pytest.raises(UnsupportedError, match=r"`c` in the external file 'w\.bin'; give the path"):
        read_onnx(path.read_bytes())


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    array, inside = weights(4), tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(8) + array.tobytes())
    (inside / "link.bin").symlink_to(tmp_path / "w.bin")
    for location in ("../w.bin", str(tmp_path / "w.bin"), "link.bin"):
        with pytest.raises(InputError, match="outside its own folder"):
            read_onnx(external(inside, location, array))


def test_weights_that_are_missing_or_cut_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(20))
    with pytest.raises(InputError, match="no such file beside it"):
        read_onnx(external(tmp_path, "gone.bin", weights(4)))
    with pytest.raises(InputError, match=r"'w\.bin' is truncated: `c` needs 16 bytes, 12 are there"):
        read_onnx(external(tmp_path, "w.bin", weights(4)))
    with pytest.raises(InputError, match="`c` is damaged"):
        read_onnx(external(tmp_path, "w.bin", weights(4), length=12))
    with pytest.raises(InputError, match="cannot be read"):
        read_onnx(external(tmp_path, "w.bin", weights(4), length="many"))  # type: ignore[arg-type]
