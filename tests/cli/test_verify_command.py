"""`ballproof verify`: words, files and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import BOX, SPECS, absolute_net, write

from ballproof.cli import main


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return absolute_net(tmp_path_factory.mktemp("net") / "absolute.onnx")


@pytest.mark.parametrize("name", ["out of reach", "just in reach", "an empty box"])
def test_the_first_line_is_the_result(name: str, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = SPECS[name]
    results = tmp_path / "results.txt"
    assert main(["verify", str(network), str(write(tmp_path, text)), "--results", str(results), "--json"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    told = json.loads(lines[-1])
    assert lines[0] == told["result"] == results.read_text().splitlines()[0] == expected
    assert set(told) >= {"result", "reason", "engine", "bound", "seconds", "counterexample", "certificate"}
    assert (told["counterexample"] is not None) == (expected == "sat") == results.read_text().rstrip().endswith(")")
    assert "empty" in told["reason"] or name != "an empty box"


@pytest.mark.parametrize("engine", ["inputs", "neurons"])
def test_an_engine_can_be_forced(engine: str, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(network), str(write(tmp_path, SPECS["out of reach"][0])), "--engine", engine, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (told["result"], told["engine"]) == ("unsat", engine)


def test_bad_input_is_one_line_and_code_2(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(write(tmp_path, BOX))
    for tokens in (
        ["verify", str(tmp_path / "no.onnx"), good],
        ["verify", str(network), str(tmp_path / "no.vnnlib")],
        ["verify", good, str(network)],
        ["verify", str(network), good, "--timeout", "0"],
        ["verify", str(network), good, "--timeout", "inf"],
        ["verify", str(network), good, "--timeout", "1e300"],
        ["verify", str(network), good, "--results", str(tmp_path / "none" / "results.txt")],
        ["verify", str(network), good, "--engine", "fast"],
    ):
        assert main(tokens) == 2, tokens
        said = capsys.readouterr()
        assert not said.out and len(said.err.strip().splitlines()) == 1


def test_a_run_folder_holds_the_verdict_and_its_page(network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["verify", str(network), str(write(tmp_path, SPECS["just in reach"][0])), "--out", str(tmp_path / "run"), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    page = Path(told["report"]).read_text()
    assert told["result"] == "sat" and "Counterexample: the input" in page and repr(told["counterexample"]["x"][0]) in page
    assert main(asked) == 2 and "other things in it" in capsys.readouterr().err
    assert main(["verify", "no.onnx", asked[2], "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_a_search_stops_at_its_limit(network: Path, tmp_path: Path) -> None:
    """The strict tie can never be decided; the process, started anew, ends about when it was told to."""
    command = [sys.executable, "-m", "ballproof", "verify", str(network), str(write(tmp_path, SPECS["a strict tie"][0]))]
    start = time.monotonic()
    done = subprocess.run([*command, "--timeout", "6", "--engine", "inputs"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[0] in ("timeout", "unknown")
    assert time.monotonic() - start < 60
