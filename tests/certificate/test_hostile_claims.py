"""False claims that once passed: underflow on the way back, overflow of float32, names and numbers that mean something else."""

from __future__ import annotations

import gzip
import math
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ballproof.certificate.check import main
from ballproof.certificate.checker import lines as reader
from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import FORMAT, VERSION, check
from ballproof.certificate.checker.neurons import Cells
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases, roots
from ballproof.certificate.checker.rounded import Bounds
from oracles.onnx_nets import dense, write_dense, write_nodes


def scalar(*weights: float) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.array([[w]], np.float32), np.zeros(1, np.float32)) for w in weights]


def claim(path: Path, x: str, unsafe: str, outputs: int = 1) -> Path:
    names = "(declare-const X_0 Real)" + "".join(f"(declare-const Y_{j} Real)" for j in range(outputs))
    path.write_text(f"{names}(assert (>= X_0 {x}))(assert (<= X_0 {x}))(assert {unsafe})")
    return path


def proof(path: Path, net: Path, asked: Path, lines: str) -> Path:
    header = (
        f'{{"format": "{FORMAT}", "version": {VERSION}, "network": "{read_network(net).sha256}", '
        f'"property": "{read_cases(asked)[1]}", "roots": 1, "semantics": "real"}}'
    )
    path.write_bytes(gzip.compress(f"{header}\nr 0\n{lines}\n".encode()))
    return path


@pytest.mark.parametrize(
    ("weights", "x", "end", "lines"),
    [
        ((2.0**40, 2.0**40, 2.0**-40, 2.0**-40), "1", "0.9", "g 0\na 0\nq 0 0x1p-999 . . .\ne"),
        ((2.0**-126,), str(2**126), "0.9", "g 0\na 0\nq 0 0x1p-999\ne"),
        ((2.0**-149,) * 8, str(2**1000), "6.2e-61", "p 0"),
    ],
)
def test_rows_that_underflow_prove_nothing(tmp_path: Path, weights: tuple[float, ...], x: str, end: str, lines: str) -> None:
    """The exact output is 1, 1 and 1.6e-58: above what is claimed to be out of reach."""
    net = write_dense(tmp_path / "net.onnx", scalar(*weights))
    asked = claim(tmp_path / "p.vnnlib", x, f"(>= Y_0 {end})")
    for deployed, fractions in ((False, False), (True, False), (False, True)):
        with pytest.raises(RefusedError):
            check(proof(tmp_path / "c.gz", net, asked, lines), net, asked, deployed, fractions)


def test_float32_that_overflows_is_not_proven(tmp_path: Path) -> None:
    """8e38 and 6e38 are both infinite in float32, so `Y_0 <= Y_1` holds there, though not in the real numbers."""
    layers = [*scalar(1e38), (np.array([[8.0], [6.0]], np.float32), np.zeros(2, np.float32))]
    net = write_dense(tmp_path / "net.onnx", layers)
    asked = claim(tmp_path / "p.vnnlib", "1", "(<= Y_0 Y_1)", 2)
    path = proof(tmp_path / "c.gz", net, asked, "p 0")
    assert check(path, net, asked).semantics == "real numbers"
    for fractions in (False, True):
        with pytest.raises(RefusedError, match="overflow"):
            check(path, net, asked, deployed=True, exact=fractions)


@pytest.mark.parametrize(
    "text",
    [
        *("(<= Y_-1 -1)", "<21", "(<= Y_5 1)", "(<= Y_foo 1)", "(<= Y_0 1e999999999)", "(<= Y_0 inf)", "(<= Y_0 1/0)", "()"),
        *("(<= Y_0)", "(<= Y_0 1 2)", "(+)", "(<= Y_0 0x10)", "(<= X_1_0 1)", "(<= Y_0 \u0663)", "(" * 5000 + ")" * 5000),
        *("(<= (+) 1)", "(<= X_7 1)", "(<= Y_0 1) (<= Y_0 2)"),
    ],
)
def test_terms_that_mean_nothing_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises((NotModelledError, RefusedError)):
        read_cases(claim(tmp_path / "p.vnnlib", "0", text))


@pytest.mark.parametrize("names", ["X_0 X_2 Y_0", "X_0 X_0 Y_0", "X_0 X_-1 Y_0", "X_0 Y_1", "Z_0"])
def test_declarations_have_no_gaps(tmp_path: Path, names: str) -> None:
    (tmp_path / "p.vnnlib").write_text("".join(f"(declare-const {n} Real)" for n in names.split()))
    with pytest.raises(NotModelledError):
        read_cases(tmp_path / "p.vnnlib")


def test_a_property_of_other_sizes_is_refused(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, 1, 4, 2))
    asked = claim(tmp_path / "p.vnnlib", "0", "(<= Y_0 -100)")
    with pytest.raises(NotModelledError, match="inputs and outputs"):
        check(proof(tmp_path / "c.gz", net, asked, "p 0"), net, asked)


def test_weights_in_other_files_and_huge_inputs_are_refused(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, 1, 4, 1))
    model = onnx.load(net)
    outside = onnx.load(net)
    onnx.save(outside, tmp_path / "out.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    with pytest.raises(NotModelledError, match="other files"):
        read_network(tmp_path / "out.onnx")
    for shape in ([1, 2**40], [1, -1]):
        del model.graph.input[:]
        model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
        onnx.save(model, net)
        with pytest.raises(NotModelledError):
            read_network(net)


def test_weights_that_are_read_as_zero_are_allowed_for(tmp_path: Path) -> None:
    """1e-40 is denormal in float32: 1e-30 comes out, or 0 where denormal numbers are read as zero."""
    net = write_dense(tmp_path / "net.onnx", scalar(1e-40))
    asked = claim(tmp_path / "p.vnnlib", "10000000000", "(<= Y_0 1e-31)")
    path = proof(tmp_path / "c.gz", net, asked, "p 0")
    assert check(path, net, asked, exact=True).semantics == "real numbers"
    for fractions in (False, True):
        with pytest.raises(RefusedError, match="not proven"):
            check(path, net, asked, deployed=True, exact=fractions)


def test_a_sum_that_overflows_before_it_is_divided_is_not_proven(tmp_path: Path) -> None:
    """Sixteen times 4e37 is infinite in float32, though the mean is 4e37."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1])]
    net = write_nodes(tmp_path / "net.onnx", nodes, (1, 16), {})
    ends = "".join(f"(declare-const X_{i} Real)(assert (>= X_{i} 4e37))(assert (<= X_{i} 4e37))" for i in range(16))
    (tmp_path / "p.vnnlib").write_text(f"{ends}(declare-const Y_0 Real)(assert (>= Y_0 8e37))")
    path = proof(tmp_path / "c.gz", net, tmp_path / "p.vnnlib", "p 0")
    assert check(path, net, tmp_path / "p.vnnlib").semantics == "real numbers"
    with pytest.raises(RefusedError, match="overflow"):
        check(path, net, tmp_path / "p.vnnlib", deployed=True)


def test_a_number_that_is_gathered_twice_counts_twice(tmp_path: Path) -> None:
    """`Relu(11 x - 5)` on [0, 1] reaches 6; with one of the two places forgotten its argument would end at 5."""
    nodes = [
        helper.make_node("Mul", ["x", "one"], ["h"]),
        helper.make_node("Gather", ["h", "i"], ["g"], axis=1),
        helper.make_node("Gemm", ["g", "w", "b"], ["z"]),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    weights = {"i": np.array([0, 0], np.int64), "w": np.array([[1.0], [10.0]], np.float32), "b": np.array([-5], np.float32)}
    net = write_nodes(tmp_path / "net.onnx", nodes, (1, 1), weights | {"one": np.ones(1, np.float32)})
    for end, true in (("6.1", True), ("5.7", False)):
        asked = claim(tmp_path / "p.vnnlib", "0", f"(>= Y_0 {end})")
        asked.write_text(asked.read_text().replace("(<= X_0 0)", "(<= X_0 1)"))
        path = proof(tmp_path / "c.gz", net, asked, "p 0")
        if true:
            assert check(path, net, asked).roots == 1
        else:
            with pytest.raises(RefusedError):
                check(path, net, asked)


def test_a_counterexample_on_the_edge_of_a_strict_claim_is_not_taken(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", scalar(1.0))
    asked = claim(tmp_path / "p.vnnlib", "1", "(< Y_0 1)")
    (tmp_path / "r.txt").write_text("sat\n((X_0 1.0)\n(Y_0 1.0))\n")
    with pytest.raises(NotModelledError, match="strict"):
        check(tmp_path / "r.txt", net, asked)


@pytest.mark.parametrize("lines", ["k 0 0 0x1p+0\np 1\np 2", "k 0 0 -0x1p+0\np 2\np 1", "s 0 0 0x1p+0\np 2\np 1", "p 0"])
def test_every_box_that_is_called_proven_is_computed(tmp_path: Path, lines: str) -> None:
    """`|x| - 0.5` is 0 within [-1, 1], though not at the ends, of which one is a half of the box here."""
    layers = [(np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32))]
    layers.append((np.array([[1.0, 1.0]], np.float32), np.full(1, -0.5, np.float32)))
    net = write_dense(tmp_path / "net.onnx", layers)
    asked = claim(tmp_path / "p.vnnlib", "1", "(<= Y_0 0)")
    asked.write_text(asked.read_text().replace("(>= X_0 1)", "(>= X_0 -1)"))
    with pytest.raises(RefusedError):
        check(proof(tmp_path / "c.gz", net, asked, lines), net, asked)


def hostile(folder: Path, lines: str, inputs: int = 1) -> tuple[Path, Path, Path]:
    """A file of these lines, of a network with one rectifier and a claim that no split of it proves."""
    net = write_dense(folder / "net.onnx", dense(0, inputs, 1, 1))
    asked = folder / "p.vnnlib"
    ends = "".join(f"(declare-const X_{i} Real)(assert (>= X_{i} -1))(assert (<= X_{i} 1))" for i in range(inputs))
    asked.write_text(f"{ends}(declare-const Y_0 Real)(assert (<= Y_0 100))")
    return proof(folder / "c.gz", net, asked, lines), net, asked


@pytest.mark.parametrize("lines", ["g 0\nx\n", "g 0\na 0\nx\n", "k 0 0 0x0p+0\n"])
def test_lines_that_cost_a_bound_each_end_at_the_time_limit(tmp_path: Path, lines: str) -> None:
    """Millions of them would take hours."""
    many = "".join(line if "k" not in line else f"k {2 * k} 0 0x0p+0\n" for k, line in enumerate([lines] * 30_000))
    files, start = hostile(tmp_path, many), time.monotonic()
    with pytest.raises(RefusedError, match=r"not done after 0\.2 s, its time limit"):
        check(*files, seconds=0.2)
    assert main([*map(str, files), "--time-limit=0.2"]) == 1
    assert time.monotonic() - start < 60


def test_intervals_of_one_cell_take_no_more_memory_than_it_has_units(tmp_path: Path) -> None:
    _, net, asked = hostile(tmp_path, "g 0")
    network = read_network(net)
    (root,) = roots(read_cases(asked)[0], network)
    cells = Cells(Bounds(network, root.low[None], root.high[None], Arithmetic()), root.question)
    cells.read("a 0")
    for k in range(200):
        cells.read(f"i 0 0 0 {(1, -1)[k % 2]} 0x1p+0 -")
    cells.settle()
    assert len(cells.open[0].fresh) == 2


@pytest.mark.parametrize(("lines", "reason"), [("s {} 0 0x0p+0\n", "boxes are open"), ("n {} 0 0 0\n", "cells are open")])
def test_open_boxes_and_cells_are_bounded_in_number_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, reason: str
) -> None:
    """Each takes hundreds of bytes, however few numbers it holds: a thousandth of the limit is reached after 1,000."""
    monkeypatch.setattr(reader, "MOST_OPEN", reader.MOST_OPEN // 1000)
    many = "".join(lines.format(k) for k in range(2000))
    with pytest.raises(RefusedError, match=reason):
        check(*hostile(tmp_path, many if "s" in lines else f"g 0\na 0\n{many}"))


def test_a_time_limit_is_a_number_of_seconds(tmp_path: Path) -> None:
    files = [str(f) for f in hostile(tmp_path, "p 0")]
    for wrong in ("--time-limit", "--time-limit=", "--time-limit=-1", "--time-limit=nan", "--time-limit=1e9"):
        assert main([*files, wrong]) == 2
    assert main([*files, "--time-limit=1", "--time-limit=2"]) == 2


@pytest.mark.parametrize("fractions", [False, True])
def test_a_root_stays_one_behind_a_sum(tmp_path: Path, fractions: bool) -> None:
    """Batch normalization by 1 / sqrt(2), with what it is for 2^100 taken off, by so little too much that y is below 0."""
    near, size = Fraction(math.isqrt(2**400 * 2), 2**200), 2**100
    true, rest = size * Fraction(math.isqrt(2**999), 2**500), (size / near + size * Fraction(math.isqrt(2**999), 2**500)) / 2
    names: list[float] = []
    while abs(rest) > (size / near - true) / 8:
        names.append(-float(np.float32(float(rest))))
        rest += Fraction(names[-1])
    assert true + Fraction(size, 2**500) + sum(map(Fraction, names)) < 0
    shared = {"s": [1.0], "b": [0.0], "m": [0.0], "v": [2.0]} | {f"c{i}": [[c]] for i, c in enumerate(names)}
    nodes = [helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["a0"], epsilon=0.0)]
    nodes += [helper.make_node("Add", [f"a{i}", f"c{i}"], [f"a{i + 1}"]) for i in range(len(names) - 1)]
    nodes += [helper.make_node("Add", [f"a{len(names) - 1}", f"c{len(names) - 1}"], ["y"])]
    net = write_nodes(tmp_path / "net.onnx", nodes, (1, 1), {k: np.array(v, np.float32) for k, v in shared.items()})
    asked = claim(tmp_path / "p.vnnlib", str(size), "(<= Y_0 0)")
    with pytest.raises(RefusedError):
        check(proof(tmp_path / "c.gz", net, asked, "p 0"), net, asked, False, fractions)


def test_a_property_that_multiplies_out_to_too_many_rows_is_refused(tmp_path: Path) -> None:
    ends = "".join(f"(assert (<= X_0 {i}))" for i in range(1000))
    cases = "(or" + " (<= Y_0 0)" * 50_000 + ")"
    (tmp_path / "p.vnnlib").write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real){ends}(assert {cases})")
    with pytest.raises(NotModelledError, match="50000 cases have more than"):
        read_cases(tmp_path / "p.vnnlib")
