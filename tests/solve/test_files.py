"""ONNX and VNN-LIB in; verdicts, replayed witnesses and refusals out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from file_problems import BOX, SPECS, absolute_net, write

from ballproof.errors import InputError
from ballproof.problems.vnnlib import read_vnnlib
from ballproof.solve.files import verify_files, written
from ballproof.solve.replay import violates, within


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return absolute_net(tmp_path_factory.mktemp("net") / "absolute.onnx.gz")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", list(SPECS))
def test_every_specification_has_its_answer(name: str, packed: bool, network: Path, tmp_path: Path) -> None:
    text, expected = SPECS[name]
    spec = write(tmp_path, text, "spec.vnnlib.gz" if packed else "spec.vnnlib")
    found = verify_files(network, spec, timeout=3 if expected == "unknown" else 60)
    assert found.result == expected or (expected == "unknown" and found.result == "timeout"), found.reason
    if expected == "sat":
        assert found.witness is not None and found.witness.runtime == "onnxruntime"


def test_a_witness_is_what_the_runtime_says_and_lies_inside(network: Path, tmp_path: Path) -> None:
    """Asked again by a session of the test's own, with the box and the violation written out."""
    found = verify_files(network, write(tmp_path, BOX + "(assert (>= Y_0 0.9))(assert (>= Y_1 1.9))"), timeout=10)
    assert found.witness is not None
    x, y = found.witness.x, found.witness.y
    assert x.dtype == np.float32 and -1 <= x[0] <= 1 and 0 <= x[1] <= 2
    import gzip

    session = onnxruntime.InferenceSession(gzip.decompress(network.read_bytes()), providers=["CPUExecutionProvider"])
    again = session.run(None, {"x": x.reshape(1, 2)})[0].reshape(-1)
    assert np.array_equal(again, y) and y[0] >= 0.9 and y[1] >= 1.9
    lines = written(found.witness).split("\n")
    assert lines[0].startswith("((X_0 ") and lines[3].startswith(" (Y_1 ") and lines[3].endswith("))")


def test_numbers_that_the_precision_does_not_have_are_rounded_into_the_box(tmp_path: Path) -> None:
    """0.1 lies between two float32 numbers: an end of 0.1 is moved inwards, a constant 0.1 is its nearest number."""
    text = "(assert (>= X_0 0.1))(assert (<= X_0 0.3))(assert (>= X_1 0.1))(assert (<= X_1 0.1))(assert (>= Y_0 0))"
    (case,) = read_vnnlib(write(tmp_path, text)).cases
    for x in ([0.1, 0.1], [0.3, 0.1], [-5.0, 5.0], [5.0, 0.0]):
        inside = within(case, np.array(x), np.float32)
        assert inside is not None and 0.1 <= float(inside[0]) <= 0.3 and inside[1] == np.float32(0.1)


def test_a_violation_is_met_exactly(tmp_path: Path) -> None:
    """A sum that rounds to the bound in float64 and lies beyond it in rationals is no violation."""
    (case,) = read_vnnlib(write(tmp_path, BOX + "(assert (<= (+ Y_0 Y_1) 1.0))")).cases
    tiny = np.array([1.0, 2.0**-60])
    assert tiny.sum() == 1.0
    assert not violates(case, np.zeros(2), tiny)
    assert violates(case, np.zeros(2), np.array([1.0, 0.0]))


BAD = {
    "no onnx": (b"no onnx", BOX, "no ONNX"),
    "inputs that the net lacks": (None, "(declare-const X_2 Real)" + BOX + "(assert (>= X_2 0))(assert (<= X_2 1))", "inputs"),
    "outputs that the net lacks": (None, "(declare-const Y_2 Real)" + BOX, "outputs"),
    "an unbounded input": (None, "(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= X_1 0))(assert (>= Y_0 0))", "unbounded"),
    "no vnnlib": (None, "hello world", "VNN-LIB"),
    "a quotient of variables": (None, BOX + "(assert (<= (/ Y_0 Y_1) 1))", "by a number"),
    "an unknown name": (None, BOX + "(assert (<= Z_0 1))", "Z_0"),
    "an or of a variable": (None, BOX + "(assert (or (<= Y_0 -1) Y_0))", "`Y_0`"),
    "two forms in an assertion": (None, BOX + "(assert (<= Y_0 1) (<= Y_1 -5))", "no form of VNN-LIB"),
    "half a form": (None, BOX + "(assert (<= Y_0", "truncated"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_files_are_refused_in_one_line(name: str, network: Path, tmp_path: Path) -> None:
    content, text, said = BAD[name]
    net = network
    if content is not None:
        net = tmp_path / "net.onnx"
        net.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        verify_files(net, write(tmp_path, text), timeout=5)
    assert len(str(error.value).splitlines()) == 1
