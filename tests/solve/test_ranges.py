"""Comparisons that the last operation's codomain refutes, ties among them, and their neighbours that it must leave open."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import as_graph
from ballproof.problems import Box
from ballproof.problems.vnnlib import Row, read_vnnlib
from ballproof.solve.files import verify_files
from ballproof.solve.ranges import possible

BOX = "".join(f"(assert (>= {v} -{{0}}))(assert (<= {v} {{0}}))" for v in ("X_0", "X_1"))
DECLARED = "".join(f"(declare-const {v} Real)" for v in ("X_0", "X_1", "Y_0", "Y_1"))

CASES = [
    ("Relu", {}, "(< Y_0 0)", "unsat"),
    ("Relu", {}, "(> -0.0 Y_0)", "unsat"),
    ("Relu", {}, "(<= Y_0 0)", "sat"),
    ("Relu", {}, "(< Y_0 1e-300)", "sat"),
    ("Relu", {}, "(> Y_0 1.9)", "sat"),
    ("Relu", {}, "(or (< Y_0 0) (>= Y_1 1.5))", "sat"),
    ("Relu", {}, "(or (and (< Y_0 0) (>= Y_1 1.5)) (< Y_1 0))", "unsat"),
    ("Relu", {}, "(< (- Y_0 X_0) 0)", "unknown"),  # it holds by a tie that is not at the end of a codomain
    ("Softmax", {"axis": 1}, "(or (< Y_0 0) (> Y_1 1))", "unsat"),
    ("Softmax", {"axis": 1}, "(> Y_0 0.98)", "sat"),
    ("Clip", {}, "(or (> Y_0 0.5) (< Y_1 -0.25))", "unsat"),
    ("Clip", {}, "(>= Y_0 0.5)", "sat"),
    ("Abs", {}, "(< Y_0 0)", "unsat"),
    ("Abs", {}, "(> Y_0 1.9)", "sat"),
    ("Relu", {}, "(< (+ Y_0 (* 2 Y_1)) 0)", "unsat"),
    # attainable, though not for floats of the numbers added up one by one
    ("Relu", {}, "(< (+ Y_0 1) 1.00000000000000001)", "sat"),
    ("Relu", {}, "(<= (+ Y_0 0.1 0.2) 0.3)", "sat"),
    ("Relu", {}, "(<= Y_0 (- 0.3 0.1 0.2))", "sat"),
    ("Clip", {}, "(> (+ (* 0.1 Y_0) (* 0.7 Y_1)) 0.4)", "unknown"),  # a tie, but of numbers that floats do not hold
    # the runtime's tanh goes beyond 1
    ("Tanh", {}, "(> Y_0 1)", "not unsat"),
    # not defined on the region
    ("Sqrt", {}, "(< Y_0 0)", "unknown"),
]


def written(folder: Path, kind: str, settings: dict[str, int], asked: str) -> tuple[Path, Path]:
    """y = kind(x), flattened; and what is asked of it."""
    ends = [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("low", -0.25), ("high", 0.5))]
    names = ["low", "high"] if kind == "Clip" else []
    nodes = [helper.make_node(kind, ["x", *names], ["a"], **settings), helper.make_node("Flatten", ["a"], ["y"])]
    told = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy"]
    graph = helper.make_graph(nodes, kind, told[:1], told[1:], ends[: len(names)])
    network, asks = folder / "net.onnx", folder / "asked.vnnlib"
    network.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString())
    asks.write_text(f"{DECLARED}{BOX.format(20 if kind == 'Tanh' else 2)}(assert {asked})")
    return network, asks


@pytest.mark.parametrize(("kind", "settings", "asked", "expected"), CASES)
def test_comparisons_at_the_ends_of_codomains(
    kind: str, settings: dict[str, int], asked: str, expected: str, tmp_path: Path
) -> None:
    found = verify_files(*written(tmp_path, kind, settings, asked), timeout=30 if expected in {"sat", "unsat"} else 1)
    wanted = {"unknown": {"unknown", "timeout"}, "not unsat": {"sat", "unknown", "timeout"}}.get(expected, {expected})
    assert found.result in wanted, found


class Moved(nn.Module):
    """Values of three codomains behind each other, turned round: -x, relu(x), x cut to [-1, 1], of the second input first."""

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = torch.stack([-x, x.relu(), x.clamp(-1, 1)], 1).flip(2).reshape(-1, 6)[:, [5, 4, 3, 2, 1, 0]]
        return told


def test_rows_are_left_out_exactly_where_no_value_of_the_codomains_meets_them(tmp_path: Path) -> None:
    """The places: cut, cut, relu, relu, free, free. Compared with all corners of what the rows weigh."""
    corners = {0: (-1.0, 1.0), 1: (-1.0, 1.0), 2: (0.0, 1e9), 3: (0.0, 1e9), 4: (-1e9, 1e9), 5: (-1e9, 1e9)}
    region = Box(torch.zeros(1, 2), torch.ones(1, 2))
    graph = as_graph(Moved(), region)
    (case,) = read_vnnlib(written(tmp_path, "Relu", {}, "(< Y_0 0)")[1]).cases
    seen, places = set(), [(0, 1), (0, 2), (2, 3), (1, 4)]
    weights, bounds = [(1.0, 1.0), (1.0, -1.0), (0.5, 2.0)], [-2.5, -2.0, -1.0, -0.5, 0.0, 1.0]
    for (a, b), (u, v), bound, strict, exact in product(places, weights, bounds, *2 * [[True, False]]):
        row = Row(((a, u), (b, v)), (), bound, strict, (), exact)
        met = min(u * y + v * z for y, z in product(corners[a], corners[b])) < bound
        left = possible(graph, (replace(case, groups=((row,),)),), lambda _: region)
        assert bool(left) == (met or not strict or not exact), row
        seen.add(bool(left))
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("asked", "exact"),
    [
        ("(< Y_0 0.5)", True),
        ("(> Y_0 1e2)", True),
        ("(< 3 Y_0)", True),
        ("(< Y_0 Y_1)", True),
        ("(< Y_0 0.1)", False),
        ("(< Y_0 0.99999999999999999999)", False),
        ("(< (+ Y_0 0.1 0.2) 0.3)", True),
        ("(< (* 3 Y_0) (/ 3 7))", False),
        ("(<= Y_0 0.5)", False),
    ],
)
def test_numbers_are_exact_where_floats_hold_the_decimals(asked: str, exact: bool, tmp_path: Path) -> None:
    (case,) = read_vnnlib(written(tmp_path, "Relu", {}, asked)[1]).cases
    assert [row.exact for group in case.groups for row in group] == [exact]


@pytest.mark.parametrize("word", ["1e-400", "1e-999999999", "1e-9999999999999999999999", "4.9e-324"])
def test_numbers_nearer_to_zero_than_floats_reach_are_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=f"the number `{word}`"):
        read_vnnlib(written(tmp_path, "Relu", {}, f"(< Y_0 {word})")[1])


def test_products_of_numbers_that_no_float_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no float holds"):
        read_vnnlib(written(tmp_path, "Relu", {}, "(<= (* 1e308 100 Y_0) -1)")[1])
