"""Files that were made to harm: each is refused in a clear line, in little memory, or read for what it is."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import struct
import zipfile
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from corpus import FORMATS, REFUSALS, SECOND, SPEC, damaged, dense, model, picture
from onnx import TensorProto, helper

NODE, FLOAT = helper.make_node, np.float32
HEAD, BODY = SPEC.split("(assert", 1)[0], "(assert" + SPEC.split("(assert", 1)[1]
BIG = 2**20


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(
    kind: str, *inputs: str, shape: tuple[int, ...] = (1, 2), then: tuple[onnx.NodeProto, ...] = (), **weights: np.ndarray
) -> bytes:
    return model(NODE(kind, list(inputs), ["y"] if not then else ["c"]), *then, weights=weights, shape=shape)


ADDED = (NODE("Add", ["x", "c"], ["y"]),)
DOUBLED = [NODE("Concat", ["x" if k == 0 else f"c{k - 1}"] * 2, [f"c{k}"], axis=1) for k in range(30)]


def with_function() -> bytes:
    """A function that calls itself."""
    found = onnx.load_from_string(model(NODE("F", ["x"], ["y"], domain="f"), weights={}))
    inner, domain = NODE("F", ["x"], ["y"], domain="f"), helper.make_opsetid("f", 1)
    found.functions.append(helper.make_function("f", "F", ["x"], ["y"], [inner], [domain]))
    found.opset_import.append(domain)
    return bytes(found.SerializeToString())


def with_branches(depth: int) -> bytes:
    inner = NODE("Relu", ["x"], ["y"])
    for _ in range(depth):
        inner = NODE("If", ["c"], ["y"], then_branch=helper.make_graph([inner], "b", [], []))
    return model(inner, weights={"c": np.array(True)})


def with_dims() -> bytes:
    found = onnx.load_from_string(dense())
    found.graph.initializer[0].dims[0] = 2**40
    return bytes(found.SerializeToString())


def elsewhere(location: str) -> bytes:
    found = onnx.load_from_string(dense())
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return bytes(found.SerializeToString())


def bomb(mebibytes: int, what: bytes = b"\0") -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for _ in range(mebibytes):
            file.write(what * 2**20)
    return out.getvalue()


def archive(shape: tuple[int, ...], kind: str, content: bytes) -> bytes:
    out, head = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": kind, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inputs.npy", head.getvalue() + content)
    return out.getvalue()


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return pytest.fail, ("a pickle was run",)


def saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def objects() -> bytes:
    out = io.BytesIO()
    np.savez(out, inputs=np.array([Evil()], object), labels=np.arange(1))
    return out.getvalue()


LONG = "1" * 5000
"""More digits than Python turns into a number."""


def ors(count: int) -> str:
    return "(or (>= Y_0 1) (<= Y_1 2))" * count


BOXES = "".join(f"(declare-const X_{i} Real)" for i in range(9)) + "(declare-const Y_0 Real)"
BOXES += "".join(f"(assert (>= X_{i} 0))(assert (<= X_{i} 1))(assert (or (<= X_{i} 0.5) (>= X_{i} 0.4)))" for i in range(9))

LOWERED = {
    "values that double": ("ballproof.graph.builder.LARGEST_VALUE", 2**16),
    "a packed line": ("ballproof.problems.vnnlib.forms.LONGEST", 2**20),
    "laughs beside each other": ("ballproof.problems.vnnlib.reader.MOST_CASES", 5000),
    "boxes": ("ballproof.problems.vnnlib.reader.MOST_ENDS", 1000),
}
"""Limits that are lowered so that their test is quick."""

STRIPS = struct.pack("<HH", 273, 4)
"""Where a TIFF says, as a whole number, at which bytes its rows begin."""

MATLAB = b64decode(
    "DwAAAEEAAAB4nO3GwQmAQBAEwVFRvI/4vKdhGIr5R+KCF4VULc3skeTuyVa7Vy2ftTqra7RUczXVPWu0VHMAAAAA8EMvjFgB"
    "RA8AAAAtAAAAeJzjY2BgcABiNiDmAGI+BghghfKZgJgRjBkZKoE0DxALQMVAgAtKAwAupgEd"
)
"""A damaged packed array at which SciPy's reader of MATLAB files reads memory that is not its own."""

HOSTILE = {
    "a constant of a terabyte": ("onnx", one("ConstantOfShape", "s", then=ADDED, s=whole(BIG, BIG)), "constant of shape"),
    "an expansion": ("onnx", one("Expand", "x", "s", s=whole(1, BIG, BIG, 2)), "expansion"),
    "a tile": ("onnx", one("Tile", "x", "s", s=whole(1, 2**40)), "repeats"),
    "a tiled constant": ("onnx", one("Tile", "o", "s", then=ADDED, o=np.ones((1, 2), FLOAT), s=whole(BIG, BIG)), "repeats"),
    "a padding": ("onnx", one("Pad", "x", "s", s=whole(0, 2**40, 0, 2**40)), "Pad"),
    "a range": ("onnx", one("Range", "a", "b", "d", then=ADDED, a=FLOAT(0), b=FLOAT(1e12), d=FLOAT(1)), "a range from"),  # type: ignore[arg-type]
    "a one-hot": (
        "onnx",
        one("OneHot", "i", "d", "v", then=ADDED, i=whole(1, 2), d=whole(2**33), v=np.ones(2, FLOAT)),
        "places",
    ),
    "a resize": ("onnx", one("Resize", "x", "", "s", shape=(1, 1, 4, 4), s=np.array([1, 1, 1e5, 1e5], FLOAT)), "Resize"),
    "a huge input": ("onnx", one("Relu", "x", shape=(1, 2**31)), "the input `x` has shape"),
    "values that double": ("onnx", model(*DOUBLED, NODE("Relu", ["c29"], ["y"]), weights={}), "Concat"),
    "a branch": ("onnx", with_branches(1), "not modelled"),
    "many branches": ("onnx", with_branches(20), "not modelled"),
    "a function of itself": ("onnx", with_function(), "not modelled"),
    "dimensions that are not there": ("onnx", with_dims(), "damaged"),
    "weights of the system": ("onnx", elsewhere("/etc/passwd"), "outside its own folder"),
    "weights above": ("onnx", elsewhere("../../secret"), "outside its own folder"),
    "a packed gigabyte": ("onnx packed", bomb(300), "unpacks to more than"),
    "a packed line": ("vnnlib packed", bomb(3, b" "), "a line of more than"),
    "a packed abyss": ("vnnlib packed", bomb(1, b"(\n"), "nested more than"),
    "deep forms": ("vnnlib", (HEAD + "(assert " + "(and " * 5000).encode(), "nested more than"),
    "laughs across assertions": ("vnnlib", (HEAD + f"(assert {ors(1)})" * 25 + BODY).encode(), "cases together"),
    "laughs": ("vnnlib", (HEAD + f"(assert (and {ors(30)}))" + BODY).encode(), "a formula of more than"),
    "laughs beside each other": (
        "vnnlib",
        (HEAD + "(assert (or " + f"(and {ors(10)})" * 9 + "))").encode(),
        "an assertion of more",
    ),
    "more inputs than memory": (
        "vnnlib",
        SECOND.replace("[1, 2]", "[1, 21474836482]", 1).encode(),
        "more than 1,000,000 numbers",
    ),
    "a dimension of many digits": ("vnnlib", SECOND.replace("[1, 2]", f"[1, {LONG}]", 1).encode(), "expected whole numbers"),
    "a version of many digits": ("vnnlib", SECOND.replace("2.0", f"{LONG}.0", 1).encode(), "vnnlib-version|no form"),
    "an input of many digits": ("vnnlib", (HEAD + BODY).replace("X_0", f"X_{LONG}").encode(), "X_1111"),
    "an index of many digits": ("vnnlib", SECOND.replace("[0,0]", f"[0,{LONG}]").encode(), "whole|1111"),
    "boxes": ("vnnlib", BOXES.encode(), "boxes of 9 inputs"),
    "numbers of the checker": (
        "property of the checker",
        (HEAD + BODY.replace("2e0", "1e999999999")).encode(),
        "in a property",
    ),
    "an abyss of the checker": ("property of the checker", b"(" * BIG, "deeper"),
    "a shape that is not there": ("arrays", archive((10**6, 10**6), "<f4", b"\0" * 100), "promises"),
    "a packed array": ("arrays", archive((300 * BIG, 1), "|u1", b"\0" * 300 * BIG), "unpacks to"),
    "objects in an array": ("arrays", objects(), "promises"),
    "a packed IDX": ("idx", bomb(300), "has|unpacks to more than"),
    "an IDX of four exabytes": ("idx", gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 28)), "truncated"),
    "a pickle": ("checkpoint", pickle.dumps(Evil()), "damaged"),
    "a pickle in a checkpoint": ("checkpoint", saved({"model": Evil()}), "damaged"),
    "no state": ("checkpoint", saved([1]), "holds no state"),
    "a header of a terabyte": ("weights", struct.pack("<Q", 10**12) + b"{}", "not a safetensors file"),
    "a deep config": ("config", b"[" * 100_000, "cannot be read"),
    "a long number": ("config", b'{"command": "a", "settings": {"x": ' + b"9" * 10_000 + b"}}", "cannot be read"),
    "a config of something else": ("config", b"[1]", "no config of a run"),
    "a deep recipe": ("recipe", b"a=" + b"[" * 8000, "not TOML"),
    "a dotted recipe": ("recipe", b"a" + b".a" * 20_000 + b"=1", "refused"),
    "a recipe of bytes": ("recipe", b"\xff\xfe", "no text"),
    "a table of bytes": ("instances", b"\xff\xfe", "no text"),
    "a wall of pixels": ("picture", picture("gif")[:6] + b"\x08\xfe\x08\x08" + picture("gif")[10:], "65032 x 2056 pixels"),
    "strips of a picture at a fraction": (
        "picture",
        picture("tiff").replace(STRIPS, STRIPS[:2] + b"\x0b\x00"),
        "cannot be read",
    ),
    "a packed array of MATLAB": ("matlab", b"MATLAB".ljust(124) + b"\x00\x01IM" + MATLAB, "cut short"),
    "a limit without an end": ("instances", b"a.onnx,b.vnnlib,inf\n", "line 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in LOWERED:
        monkeypatch.setattr(*LOWERED[name])
    kind, content, words = HOSTILE[name]
    form = FORMATS[kind]
    (tmp_path / form.name).write_bytes(content)
    with pytest.raises(REFUSALS, match=words):
        form.read(tmp_path / form.name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    """A few of what scripts/fuzz.py does for long."""
    form, draw = FORMATS[name], random.Random(0)
    seeds = form.seeds(tmp_path)
    path = tmp_path / form.name
    for content in seeds:
        path.write_bytes(content)
        form.read(path)  # an exception here is a fault of the corpus
    for _ in range(40):
        path.write_bytes(damaged(draw.choice(seeds), draw, form.words, draw.choice(seeds)))
        with suppress(*REFUSALS):
            form.read(path)
