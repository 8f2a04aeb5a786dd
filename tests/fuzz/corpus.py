"""Every reader of foreign files, with small valid files to start from, and ways to damage them."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases
from ballproof.certificate.writer import write_certificate
from ballproof.data import load
from ballproof.errors import BallproofError
from ballproof.evaluate.vnncomp import instances
from ballproof.networks.onnx_file import read_onnx
from ballproof.problems.vnnlib import read_vnnlib
from ballproof.runs import Run
from ballproof.train.checkpoint import load_state, read_weights
from ballproof.train.config import make_config
from ballproof.train.recipe import read_recipe

REFUSALS = (BallproofError, NotModelledError, RefusedError)
"""What a reader may raise; anything else is a finding."""

SPEC = """; a comment
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (>= X_0 -1.0))(assert (<= X_0 1.0))(assert (>= X_1 0))(assert (<= X_1 2e0))
(assert (or (and (>= Y_0 1.01)) (and (<= Y_1 -0.5) (>= Y_0 Y_1))))
(assert (<= (+ X_0 (* 2 X_1)) 3.5))
"""
SECOND = """(vnnlib-version <2.0>)
(declare-network f (declare-input X float32 [1, 2]) (declare-output Y float32 [1, 2]))
(assert (and (<= X[0,0] 1.0) (>= X[0,0] -1.0) (<= X[0,1] 1.0) (>= X[0,1] 0.0)))
(assert (or (<= Y[0,0] 0.5) (>= Y[0,1] 2.0)))
"""
PROVABLE = SPEC.replace("(assert (<= (+ X_0 (* 2 X_1)) 3.5))\n", "").replace(
    "(and (<= Y_1 -0.5) (>= Y_0 Y_1))", "(and (<= Y_1 -9))"
)
RECIPE = b'data = "digits"\nmodel = "mlp"\neps = 0.05\nmethod = "interval"\nlr = 1e-3\nepochs = 2\n'


@dataclass(frozen=True)
class Format:
    """name: of the file that is written. read: what it must refuse or accept. seeds: valid contents. words: to be put in."""

    name: str
    read: Callable[[Path], object]
    seeds: Callable[[Path], list[bytes]]
    words: tuple[bytes, ...] = ()


def model(*nodes: onnx.NodeProto, weights: dict[str, np.ndarray], shape: tuple[int, ...] = (1, 2)) -> bytes:
    """An ONNX file from x to y."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None))]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], tensors)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())


def dense() -> bytes:
    node, one = helper.make_node, np.float32
    first, last = np.array([[1, -1, 0], [0, 0.5, 1]], one), np.array([[1, 0], [1, 0], [0, 1]], one)
    nodes = node("MatMul", ["x", "a"], ["z"]), node("Relu", ["z"], ["r"]), node("Gemm", ["r", "b", "c"], ["y"])
    return model(*nodes, weights={"a": first, "b": last, "c": np.zeros(2, one)})


def conv() -> bytes:
    node, draw = helper.make_node, np.random.default_rng(0)
    nodes = [
        node("Conv", ["x", "k"], ["c"], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("BatchNormalization", ["c", "one", "nil", "nil", "one"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]),
        node("Pad", ["p", "pads"], ["q"]),
        node("Reshape", ["q", "flat"], ["f"]),
        node("Expand", ["small", "large"], ["e"]),
        node("ConstantOfShape", ["large"], ["s"]),
        node("Add", ["e", "s"], ["d"]),
        node("Concat", ["f", "d"], ["w"], axis=1),
        node("Slice", ["w", "from", "to"], ["l"]),
        node("Softmax", ["l"], ["y"], axis=1),
    ]
    weights: dict[str, np.ndarray] = {"k": draw.normal(size=(3, 1, 2, 2)).astype(np.float32)}
    weights |= {"one": np.ones(3, np.float32), "nil": np.zeros(3, np.float32), "small": np.ones((1, 1), np.float32)}
    whole = {"pads": [0, 0, 0, 0, 0, 0, 1, 1], "flat": [1, -1], "large": [1, 3], "from": [0, 0], "to": [1, 5]}
    weights |= {k: np.array(v, np.int64) for k, v in whole.items()}
    return model(*nodes, weights=weights, shape=(1, 1, 5, 5))


def packed(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def idx(*shape: int) -> bytes:
    return (
        bytes([0, 0, 8, len(shape)])
        + struct.pack(f">{len(shape)}I", *shape)
        + bytes(i % 10 for i in range(int(np.prod(shape))))
    )


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(out, kind)
    return out.getvalue()


@cache
def proof(folder: Path) -> tuple[Path, Path, bytes]:
    """A network, a property and a certificate."""
    net, asked, found = folder / "seed.onnx", folder / "seed.vnnlib", folder / "seed.certificate.gz"
    net.write_bytes(dense())
    asked.write_text(PROVABLE.replace("1.01", "9"))
    assert write_certificate(found, net, asked, 20.0).whole
    return net, asked, found.read_bytes()


def state() -> list[bytes]:
    out = io.BytesIO()
    torch.save({"model": {"w": torch.ones(2)}, "optimizer": {"state": {}, "param_groups": []}, "epoch": 1, "mean": {}}, out)
    return [out.getvalue()]


def journal() -> bytes:
    from ballproof.runs.journal import line_of

    return b"".join(line_of({"index": i, "margins": [0.5, -1.0], "by": "crown"}) for i in range(4))


def _run_with(path: Path, name: str) -> Run:
    folder = path.parent / "run"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / name).write_bytes(path.read_bytes())
    return Run(folder)


CONFIG = json.dumps({"command": "certify", "settings": {"eps": 0.1, "model": "mlp"}, "versions": {}, "format": 2}).encode()


def _point(path: Path) -> object:
    """Of a property that any point of the box violates."""
    net, asked = path.parent / "point.onnx", path.parent / "point.vnnlib"
    net.write_bytes(dense())
    asked.write_text(PROVABLE.replace("1.01", "-99"))
    return check(path, net, asked)


def _images(path: Path) -> object:
    for name in ("a", "b"):
        (path.parent / "images" / name).mkdir(parents=True, exist_ok=True)
        (path.parent / "images" / name / "one.png").write_bytes(path.read_bytes() if name == "a" else picture("png"))
    return load(str(path.parent / "images"), "test")


def _mnist(path: Path) -> object:
    folder = path.parent / "mnist"
    folder.mkdir(exist_ok=True)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(path.read_bytes())
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(2))
    return load("mnist", "test", path.parent)


def _svhn(path: Path) -> object:
    (path.parent / "test_32x32.mat").write_bytes(path.read_bytes())
    return load("svhn", "test", path.parent)


def _parquet(path: Path) -> object:
    folder = path.parent / "cifar10"
    folder.mkdir(exist_ok=True)
    (folder / "test-00000-of-00001.parquet").write_bytes(path.read_bytes())
    return load("cifar10", "test", path.parent)


def _parquet_seed() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(out, "png")
    table = pa.table({"img": [{"bytes": out.getvalue(), "path": "a.png"}] * 2, "label": [0, 1]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _mat() -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [10]])}, do_compression=True)
    return out.getvalue()


def _benchmark(path: Path) -> object:
    (path.parent / "instances.csv").write_bytes(path.read_bytes())
    return instances(path.parent)


NUMBERS = (b"1e999", b"-0", b"999999999999", b"2147483648", b"0x1p-1000", b"1e-400", b"nan", b"." * 9)
LISP = (
    b"(",
    b")",
    b"(or ",
    b"(and ",
    b"(assert ",
    b"(<= X_0 1)",
    b"(* X_0 X_1)",
    b"X_99999999999",
    b"(declare-const Y_7 Real)",
    *NUMBERS,
)
BIG = (
    struct.pack("<q", 2**40),
    struct.pack("<i", 2**31 - 1),
    b"\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x10",
    b"../",
    b"\x00" * 8,
)

FORMATS = {
    "onnx": Format("net.onnx", read_onnx, lambda _: [dense(), conv()], (*BIG, b"If", b"Loop", b"Expand", b"Tile", b"Range")),
    "onnx packed": Format("net.onnx.gz", read_onnx, lambda _: [gzip.compress(dense())], BIG),
    "vnnlib": Format("p.vnnlib", read_vnnlib, lambda _: [SPEC.encode(), SECOND.encode()], LISP),
    "vnnlib packed": Format("p.vnnlib.gz", read_vnnlib, lambda _: [gzip.compress(SPEC.encode())], LISP),
    "certificate": Format(
        "c.gz", lambda p: check(p, *proof(p.parent)[:2]), lambda f: [proof(f)[2]], (b"r 0\n", b"p 0\n", *NUMBERS)
    ),
    "counterexample": Format(
        "c.txt",
        _point,
        lambda _: [b"sat\n((X_0 0.5)\n(X_1 1)\n(Y_0 1)\n(Y_1 1))\n"],
        LISP,
    ),
    "network of the checker": Format("n.onnx", read_network, lambda _: [dense()], BIG),
    "property of the checker": Format("q.vnnlib", read_cases, lambda _: [PROVABLE.encode()], LISP),
    "checkpoint": Format("checkpoint.pt", lambda p: load_state(_run_with(p, "checkpoint.pt")), lambda _: state(), BIG),
    "weights": Format("model.safetensors", read_weights, lambda _: [save({"w": torch.ones(2, 3)})], BIG),
    "recipe": Format(
        "r.toml", lambda p: make_config(read_recipe(str(p)), "it"), lambda _: [RECIPE], (b"[", b"[[", b"{", *NUMBERS)
    ),
    "arrays": Format(
        "d.npz", lambda p: load(str(p)), lambda _: [packed(inputs=np.ones((4, 2), np.float32), labels=np.arange(4))], BIG
    ),
    "idx": Format("i.gz", _mnist, lambda _: [gzip.compress(idx(2, 28, 28))], BIG),
    "picture": Format("i.png", _images, lambda _: [picture("png"), picture("gif"), picture("bmp"), picture("tiff")], BIG),
    "parquet": Format("p.parquet", _parquet, lambda _: [_parquet_seed()], BIG),
    "matlab": Format("m.mat", _svhn, lambda _: [_mat()], BIG),
    "config": Format("config.json", lambda p: _run_with(p, "config.json").config, lambda _: [CONFIG], (b"[", b"{", *NUMBERS)),
    "journal": Format(
        "rows.jsonl",
        lambda p: list(_run_with(p, "rows.jsonl").rows("rows.jsonl")),
        lambda _: [journal()],
        (b"[", b"{", *NUMBERS),
    ),
    "instances": Format("i.csv", _benchmark, lambda _: [b"onnx/a.onnx,vnnlib/p.vnnlib,60\n"], (b'"', b",", *NUMBERS)),
}


def damaged(content: bytes, draw: random.Random, words: tuple[bytes, ...], other: bytes = b"") -> bytes:
    """Some changes of a content; where it is packed they are made inside or outside of the packing."""
    if content[:2] == b"\x1f\x8b" and draw.random() < 0.8:
        try:
            return gzip.compress(damaged(gzip.decompress(content), draw, words), 1)
        except (OSError, EOFError, ValueError, zlib.error):
            pass
    if content[:2] == b"PK" and draw.random() < 0.8:
        return _rezipped(content, draw, words)
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        _damage(found, draw, words, other)
    return bytes(found[: 1 << 20])


def _rezipped(content: bytes, draw: random.Random, words: tuple[bytes, ...]) -> bytes:
    out = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", draw.choice((0, 8))) as new:
            chosen = draw.choice(old.namelist())
            for name in old.namelist():
                new.writestr(name, damaged(old.read(name), draw, words) if name == chosen else old.read(name))
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, IndexError, NotImplementedError, RuntimeError):
        return content[: draw.randrange(1, len(content) + 1)]
    return out.getvalue()


def _damage(found: bytearray, draw: random.Random, words: tuple[bytes, ...], other: bytes) -> None:
    at, kind = draw.randrange(len(found) + 1), draw.randrange(8)
    end = min(len(found), at + draw.choice((1, 1, 2, 4, 8, 32, 200)))
    if kind == 0 and at < len(found):
        found[at] ^= 1 << draw.randrange(8)
    elif kind == 1 and at < len(found):
        found[at] = draw.randrange(256)
    elif kind == 2:
        del found[at:end]
    elif kind == 3:
        found[at:at] = found[at:end] * draw.choice((1, 2, 10, 300))
    elif kind == 4 and words:
        found[at:at] = draw.choice(words) * draw.choice((1, 1, 1, 3, 150))
    elif kind == 5 and words:
        word = draw.choice(words)
        found[at : at + len(word)] = word
    elif kind == 6:
        start = draw.randrange(len(other) + 1)
        found[at:end] = other[start : start + (end - at)]
    elif len(found) > 1 and draw.random() < 0.3:
        del found[at:]
