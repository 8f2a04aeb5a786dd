"""Several networks and hidden nodes: what is told of them holds of the files themselves, asked one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from file_problems import absolute_net
from onnx import TensorProto, helper

from ballproof.errors import InputError
from ballproof.solve.files import FileVerdict, verify_files


def doubling_net(path: Path) -> Path:
    """y = 2 x."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", ends[:1], ends[1:])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


BOTH = """(vnnlib-version <2.0>)
(declare-network f (declare-input X Real [1,2]) {hidden} (declare-output Y Real [1,2]))
(declare-network g {like} (declare-input V Real [1,2]) (declare-output W Real [1,2]))
(assert (and (>= X[0,0] -1) (<= X[0,0] 1) (>= X[0,1] 0) (<= X[0,1] 2)))
(assert (and (>= V[0,0] 0.5) (<= V[0,0] 1) (>= V[0,1] 0) (<= V[0,1] 2)))
{asked}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {"f": absolute_net(tmp_path / "f.onnx"), "g": doubling_net(tmp_path / "g.onnx")}


def decided(folder: Path, files: dict[str, Path], asked: str, like: str = "", hidden: str = "") -> FileVerdict:
    path = folder / "q.vnnlib"
    path.write_text(BOTH.format(asked=asked, like=like, hidden=hidden))
    return verify_files(files, path, timeout=30)


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x[None]})[0][0]


# f gives (|x0|, x1), g gives (2 v0, 2 v1); so W0 is in [1, 2]
QUESTIONS = {
    "apart": ("(assert (<= (+ Y[0,0] W[0,0]) 0.999))", "unsat"),
    "apart, in reach": ("(assert (<= (+ Y[0,0] W[0,0]) 1.001))", "sat"),
    "the same input": ("(assert (= X[0,0] V[0,0]))(assert (>= Y[0,0] (- W[0,0] 0.499)))", "unsat"),
    "the same input, in reach": ("(assert (= X[0,0] V[0,0]))(assert (>= Y[0,0] (- W[0,0] 0.501)))", "sat"),
    "multiplied": ("(assert (>= (* Y[0,1] W[0,1]) 8.01))", "unsat"),
    "multiplied, in reach": ("(assert (>= (* Y[0,1] W[0,1]) 7.99))", "sat"),
}


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_two_networks_are_asked_together(name: str, files: dict[str, Path], tmp_path: Path) -> None:
    asked, expected = QUESTIONS[name]
    found = decided(tmp_path, files, asked)
    assert found.result == expected, found.reason
    if found.witness is not None:
        x, y = found.witness.x, found.witness.y
        assert np.array_equal(y, np.concatenate([outputs(files["f"], x[:2]), outputs(files["g"], x[2:])]))
        assert "same" not in name or x[0] == x[2]


def test_networks_that_are_equal_need_one_file(files: dict[str, Path], tmp_path: Path) -> None:
    asked, like = "(assert (<= W[0,0] 0.499))", "(equal-to f)"
    assert decided(tmp_path, {"f": files["f"]}, asked, like).result == "unsat"
    assert decided(tmp_path, {"f": files["f"]}, asked.replace("499", "501"), like).result == "sat"
    with pytest.raises(InputError, match="their files differ"):
        decided(tmp_path, files, asked, like)


def test_hidden_values_are_told_by_the_file_itself(files: dict[str, Path], tmp_path: Path) -> None:
    """Inside f stand the rectified x0, -x0, x1, -x1: the first two are never both above 0."""
    hidden = '(declare-hidden H Real [1,4] "a")'
    assert decided(tmp_path, files, "(assert (and (>= H[0,0] 0.01) (>= H[0,1] 0.01)))", hidden=hidden).result == "unsat"
    found = decided(tmp_path, files, "(assert (and (>= H[0,1] 0.75) (<= W[0,0] 1.5)))", hidden=hidden)
    assert found.result == "sat" and found.witness is not None
    x, y = found.witness.x, found.witness.y
    assert np.array_equal(y[2:6], [max(x[0], 0), max(-x[0], 0), max(x[1], 0), max(-x[1], 0)]) and y[3] >= 0.75


@pytest.mark.parametrize(
    ("given", "hidden", "said"),
    [
        ({"f"}, "", "no file is given for the network `g`"),
        ({"f", "g", "h"}, "", "declares no network `h`"),
        ({"f", "g"}, '(declare-hidden H Real [1,4] "nowhere")', "`nowhere` is given by no node"),
        ({"f", "g"}, '(declare-hidden H Real [1,3] "a")', "has 6 outputs, the specification declares 5"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    given: set[str], hidden: str, said: str, files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        decided(tmp_path, {n: files.get(n, files["f"]) for n in given}, "(assert (<= Y[0,0] 1))", hidden=hidden)
    with pytest.raises(InputError, match="a file for each name"):
        verify_files(files["f"], tmp_path / "q.vnnlib")
