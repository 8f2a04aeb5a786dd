"""Comparisons that the last operation's codomain refutes, ties among them, and their neighbours that it must leave open."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from ballproof.networks import as_graph
from ballproof.problems import Box
from ballproof.problems.vnnlib import Row, read_vnnlib
from ballproof.solve.files import verify_files
from ballproof.solve.ranges import possible

BOX = "(assert (>= X_0 -2))(assert (<= X_0 2))(assert (>= X_1 -2))(assert (<= X_1 2))"
DECLARED = "".join(f"(declare-const {v} Real)" for v in ("X_0", "X_1", "Y_0", "Y_1"))

CASES = [
    ("Relu", {}, "(< Y_0 0)", "unsat"),
    ("Relu", {}, "(<= Y_0 0)", "sat"),
    ("Relu", {}, "(< Y_0 1e-300)", "sat"),
    ("Relu", {}, "(< (+ Y_0 (* 2 Y_1)) 0)", "unsat"),
    ("Relu", {}, "(> (+ Y_0 Y_1) 3.9)", "sat"),
    ("Relu", {}, "(or (< Y_0 0) (>= Y_1 1.5))", "sat"),
    ("Relu", {}, "(or (and (< Y_0 0) (>= Y_1 1.5)) (< Y_1 0))", "unsat"),
    ("Relu", {}, "(< (- Y_0 X_0) 0)", "unknown"),  # it holds by a tie that is not at the end of a codomain
    ("Softmax", {"axis": 1}, "(or (< Y_0 0) (> Y_1 1))", "unsat"),
    ("Softmax", {"axis": 1}, "(> Y_0 0.98)", "sat"),
    ("Clip", {}, "(or (> Y_0 0.5) (< Y_1 -0.25))", "unsat"),
    ("Clip", {}, "(>= Y_0 0.5)", "sat"),
    ("Sigmoid", {}, "(>= Y_0 1.0001)", "unsat"),
    ("Abs", {}, "(< Y_0 0)", "unsat"),
    ("Abs", {}, "(> Y_0 1.9)", "sat"),
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
    asks.write_text(f"{DECLARED}{BOX}(assert {asked})")
    return network, asks


@pytest.mark.parametrize(("kind", "settings", "asked", "expected"), CASES)
def test_comparisons_at_the_ends_of_codomains(
    kind: str, settings: dict[str, int], asked: str, expected: str, tmp_path: Path
) -> None:
    found = verify_files(*written(tmp_path, kind, settings, asked), timeout=3 if expected == "unknown" else 30)
    assert found.result == expected or (expected == "unknown" and found.result == "timeout"), found


class Moved(nn.Module):
    """Values of three codomains behind each other, turned round: -x, relu(x), tanh(x) of the second input first."""

    def forward(self, x: Tensor) -> Tensor:
        told: Tensor = torch.stack([-x, x.relu(), x.tanh()], 1).flip(2).reshape(-1, 6)[:, [5, 4, 3, 2, 1, 0]]
        return told


def test_rows_are_left_out_exactly_where_no_value_of_the_codomains_meets_them(tmp_path: Path) -> None:
    """The places: tanh, tanh, relu, relu, free, free. Compared with all corners of what the rows weigh."""
    corners = {0: (-1.0, 1.0), 1: (-1.0, 1.0), 2: (0.0, 1e9), 3: (0.0, 1e9), 4: (-1e9, 1e9), 5: (-1e9, 1e9)}
    graph = as_graph(Moved(), Box(torch.zeros(1, 2), torch.ones(1, 2)))
    (case,) = read_vnnlib(written(tmp_path, "Relu", {}, "(< Y_0 0)")[1]).cases
    seen = set()
    for (a, b), (u, v), bound, strict in product(
        [(0, 1), (0, 2), (2, 3), (1, 4)],
        [(1.0, 1.0), (1.0, -1.0), (0.5, 2.0)],
        [-2.5, -2.0, -1.0, -0.5, 0.0, 1.0],
        [True, False],
    ):
        row = Row(((a, u), (b, v)), (), bound, strict)
        least = min(u * y + v * z for y, z in product(corners[a], corners[b]))
        met = least < bound if strict else least <= bound
        left = possible(graph, (type(case)(case.lower, case.upper, ((row,),)),))
        assert bool(left) == met, row
        seen.add(met)
    assert seen == {True, False}
