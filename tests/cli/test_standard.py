"""`ballproof-vnnlib`: the words of the VNN-LIB 2.0 standard."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import absolute_net

from ballproof.cli.standard import CAPABILITIES, main

QUERY = """(vnnlib-version <2.0>)
(declare-network N (declare-input X {type} [1, 2]) (declare-output Y {type} [1, 2]))
(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] 0.0) (<= X[0,1] 2.0)))
(assert (>= Y[0,0] {least}))
"""


@pytest.fixture
def network(tmp_path: Path) -> str:
    return f"N={absolute_net(tmp_path / 'net.onnx')}"


def query(folder: Path, least: float, number: str = "Real") -> str:
    path = folder / "q.vnnlib"
    path.write_text(QUERY.format(type=number, least=least))
    return str(path)


def test_the_verdict_is_the_first_line_and_the_assignment_follows(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", query(tmp_path, 1.5), "--network", network, "--timeout", "30"]) == 0
    assert capsys.readouterr().out == "unsat\n"
    assert main(["verify", query(tmp_path, 0.5), "--network", network, "--timeout", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sat" and lines[1] == "X Real [1,2]" and lines[4] == "Y Real [1,2]" and len(lines) == 7
    x, y = [float(v) for v in lines[2:4]], [float(v) for v in lines[5:]]
    assert -1 <= x[0] <= 1 and 0 <= x[1] <= 2 and y == [abs(x[0]), x[1]] and y[0] >= 0.5


def test_assignments_as_files(network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["verify", query(tmp_path, 0.5), "--network", network, "--serialise-assignments", str(out)]) == 0
    assert capsys.readouterr().out == "sat\n"
    tensors = {n: numpy_helper.to_array(onnx.load_tensor(out / f"{n}.pb")) for n in "XY"}
    assert tensors["X"].shape == (1, 2) and np.allclose(tensors["Y"][0, 0], abs(tensors["X"][0, 0]))


def test_proofs_are_written_where_they_can_be(network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tests/certificate/test_alethe.py checks them."""
    asked = ["verify", query(tmp_path, 1.5), "--network", network, "--unsat-proofs", str(tmp_path / "proof.alethe")]
    assert main(asked) == 0
    assert capsys.readouterr().out == "unsat\n"
    lines = (tmp_path / "proof.alethe").read_text().splitlines()
    assert lines[-1].startswith("(step ") and "(cl) :rule resolution" in lines[-1]
    query(tmp_path, 0.5)
    (tmp_path / "proof.alethe").unlink()
    assert main(asked) == 0 and not (tmp_path / "proof.alethe").exists()


def test_what_the_standard_forbids_is_an_error(network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["verify", query(tmp_path, 0.5, "float32"), "--network", network], "--as-real"),
        (["verify", query(tmp_path, 0.5)], "NAME=FILE"),
        (["verify", query(tmp_path, 0.5), "--network", network, "--network", network], "once for each network"),
        (["verify", query(tmp_path, 0.5), "--network", network, "--timeout", "0"], "timeout"),
        (["check"], "proofs"),
    ):
        if "float32" not in said:
            query(tmp_path, 0.5, "float32" if said == "--as-real" else "Real")
        assert main(arguments) == 2
        told = capsys.readouterr()
        assert not told.out and said in told.err and len(told.err.splitlines()) == 1


def test_floating_types_are_read_as_real_where_that_is_said(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", query(tmp_path, 1.5, "float32"), "--network", network, "--as-real"]) == 0
    assert capsys.readouterr().out == "unsat\n"


@pytest.mark.parametrize("capability", ["onnx-operators", *CAPABILITIES])
def test_every_capability_has_an_answer(capability: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["supports", f"--{capability}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ("Relu" in lines and "Conv" in lines) if capability == "onnx-operators" else lines == list(CAPABILITIES[capability])


def test_name_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--name"]) == 0 and capsys.readouterr().out == "ballproof\n"
    assert main(["--version"]) == 0 and capsys.readouterr().out[0].isdigit()
