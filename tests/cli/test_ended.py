"""Commands that hang in the midst of their work end at their limit, and everything they leave behind says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import SPECS, absolute_net, write
from hanging import Hanging

from ballproof.certificate.checker.arithmetic import RefusedError
from ballproof.certificate.checker.certificate import check
from ballproof.cli import main
from ballproof.cli.ended import verify_ended
from ballproof.evaluate.vnncomp import Deciding, Instance
from ballproof.runs import Run
from ballproof.spread import HERE, Failure, spread
from ballproof.spread.work import carried_out
from oracles.onnx_nets import dense, write_dense, write_property

COMMAND = """
import ctypes, sys
import ballproof.certificate.alethe as alethe, ballproof.certificate.verified as verified
import ballproof.certificate.writer as writer, ballproof.cli.start as start, ballproof.solve.files as files

def hang(*_):
    ctypes.PyDLL(None).sleep(100)  # holds the interpreter's lock: nothing inside the process can end it

def looked(result):
    verified.verify_files = lambda *_: files.FileVerdict(result, "inputs", 0.5, 0.1)

def hang_at_line(count, write=writer._Lines.write):
    writer.FLUSHED = 0.0
    writer._Lines.write = lambda self, line: hang() if self.count == count else write(self, line)

start.age = lambda: 0.0
sys.argv = sys.argv[1:]
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no child processes of this kind")


def ran(before: str, *tokens: object) -> subprocess.CompletedProcess[str]:
    """A command of its own process, with some lines of Python carried out before."""
    entry = "standard_entry" if tokens[0] == "ballproof-vnnlib" else "entry"
    command = [sys.executable, "-c", f"{COMMAND}{before}\nstart.{entry}()", *map(str, tokens)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


@pytest.mark.parametrize("looked", ["unknown", "unsat"])
def test_a_partial_certificate_says_so_and_a_verdict_stands(looked: str, tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", dense(0, 3, 16, 16, 16, 2, size=1.6))
    claim = write_property(tmp_path / "p.vnnlib", np.full(3, -1.0), np.full(3, 1.0), 2, "(<= Y_0 0)")
    proof, results = tmp_path / "c.gz", tmp_path / "results.txt"
    asked = ("ballproof", "verify", net, claim, "--timeout", 5, "--certificate", proof, "--results", results, "--json")
    done = ran(f"looked({looked!r}); hang_at_line(20)", *asked)
    result = {"unknown": "timeout"}.get(looked, looked)
    lines = done.stdout.splitlines()
    told = json.loads(lines[-1])
    assert (done.returncode, lines[0], results.read_text(), told["result"]) == (0, result, f"{result}\n", result)
    assert told["certificate"] is None and "no certificate" in lines[-2]
    with pytest.raises(RefusedError, match="the proof is partial"):
        check(proof, net, claim)


def test_a_run_folder_says_timeout_and_can_be_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, spec, out = absolute_net(tmp_path / "net.onnx"), write(tmp_path, SPECS["out of reach"][0]), tmp_path / "run"
    done = ran("files.verify_files = hang", "ballproof", "verify", net, spec, "--timeout", 1, "--out", out)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "timeout"), done.stderr
    told = Run.read(out).read_json("results.json")
    assert told["result"] == "timeout" and told["reason"].startswith("time") and told["seconds"] > 1
    assert set(Run.read(out).read_json("identity.json")) == {f"file {net}", f"file {spec}"}
    assert main(["report", str(out)]) == 0
    assert "Neither proven nor refuted within the time" in (out / "report.html").read_text()


def test_the_standard_has_a_word_of_its_own(tmp_path: Path) -> None:
    query = tmp_path / "q.vnnlib"
    query.write_text(
        "(vnnlib-version <2.0>)\n(declare-network N (declare-input X Real [1, 2]) (declare-output Y Real [1, 2]))\n"
        "(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] 0.0) (<= X[0,1] 2.0)))\n(assert (>= Y[0,0] 1.5))\n"
    )
    net = f"N={absolute_net(tmp_path / 'net.onnx')}"
    asked = ("ballproof-vnnlib", "verify", query, "--network", net, "--timeout", 2, "--unsat-proofs", tmp_path / "proof")
    done = ran("files.verify_files = hang", *asked)
    assert (done.returncode, done.stdout) == (0, "timed-out\n")
    done = ran("alethe.write_alethe = hang", *asked)
    assert (done.returncode, done.stdout) == (2, "unsat\n") and "no proof is written: time" in done.stderr
    assert not (tmp_path / "proof").exists()
    assert ran("", *asked[:-2]).stdout == "unsat\n"


def test_a_problem_of_a_folder_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    item = Instance("n", "p", 0.5)
    ((_, (row,)),) = spread(Hanging(tmp_path, "auto"), [item], HERE)
    assert (row["result"], row["seconds"]) == ("timeout", 0.5) and row["reason"].startswith("time")


@pytest.mark.parametrize("failure", [Failure.DEATH, Failure.MEMORY])
def test_attempts_share_one_limit(failure: Failure, tmp_path: Path) -> None:
    """The process is ended 0.6 s (or 3 %) after the limit of the problem, however often it is tried."""
    clock, asked = [0.0], list[float]()
    work = Deciding(tmp_path, "auto")

    def ask(item: Instance) -> Failure:
        asked.append(work.seconds(item))
        clock[0] += 40
        return failure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ballproof.spread.work.time.monotonic", lambda: clock[0])
        carried_out(work, Instance("n", "p", 100.0), ask)
    assert asked[:2] == [103.0, 63.0] and work.seconds(Instance("n", "p", 5.0)) == 5.6


def test_the_verdict_is_told_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for known in (
        {"results": str(tmp_path / "none" / "x")},
        {"run": {"out": str(tmp_path / "file"), "settings": {}, "files": {}}},
    ):
        assert verify_ended({**known, "told": {"result": "unsat"}, "lines": ["unsat"]}, "timeout", "late") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == "unsat" and second.startswith("; not written")
