"""A command that hangs or dies still ends at its limit with a result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BEGIN = """
import ctypes, os, sys, time
sys.argv.append("--json")
from pathlib import Path
from ballproof.cli.ended import verify_ended
from ballproof.cli.watched import NO_MEMORY, note, patience, tell_done, watched
watched(verify_ended)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no child processes of this kind")


def ran(body: str) -> tuple[int, list[str], float]:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", BEGIN + body], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout.splitlines(), time.monotonic() - start


def test_a_step_that_lets_nothing_else_run_is_ended_at_the_limit(tmp_path: Path) -> None:
    """Holding the interpreter's lock, it can be interrupted by no thread and no handler of its own process."""
    results = tmp_path / "results.txt"
    code, said, seconds = ran(f"note(end=patience(0.2, 1.0), results={str(results)!r}); ctypes.PyDLL(None).sleep(100)")
    assert code == 0 and said[0] == "timeout" and json.loads(said[-1])["result"] == "timeout"
    assert results.read_text() == "timeout\n"
    assert seconds < 50


@pytest.mark.parametrize(
    "body", ["os.abort()", "os._exit(NO_MEMORY)", "os.kill(os.getpid(), 9)", "note(end=patience(9, 9)); os.abort()"]
)
def test_a_process_that_dies_is_unknown(body: str) -> None:
    code, said, _ = ran(body)
    assert code == 0 and said[0] == "unknown" and json.loads(said[-1])["reason"].startswith("memory")


@pytest.mark.parametrize("code", [0, 2, 3])
def test_what_ends_by_itself_ends_so(code: int) -> None:
    assert ran(f"note(end=patience(60, 60)); print('mine', flush=True); os._exit({code})")[:2] == (code, ["mine"])


SLOW = """
import ballproof.cli.watched as module
quick = module._watch
module._watch = lambda *given: (time.sleep(1), quick(*given))
"""


@pytest.mark.parametrize("slow", ["", SLOW])
def test_signals_reach_the_child(slow: str) -> None:
    """Those too that come before the process that watches is ready."""
    body = "import signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(7)); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN.replace("watched(", f"{slow}watched(", 1) + body], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7


@pytest.mark.parametrize("then", ["os.abort()", "os.kill(os.getpid(), 9)", "time.sleep(100)", "os._exit(0)"])
@pytest.mark.parametrize("end", ["patience(0.1, 0.1)", "None"])
def test_a_result_that_is_told_stands(then: str, end: str, tmp_path: Path) -> None:
    """Whatever a library does while the process leaves."""
    results = tmp_path / "results.txt"
    told = f"path = Path({str(results)!r}); note(end={end}, results=str(path)); path.write_text('sat'); print('sat')"
    code, said, seconds = ran(f"{told}; tell_done(); {then}")
    assert (code, said, results.read_text()) == (0, ["sat"], "sat")
    assert seconds < 50


def test_a_process_without_an_end_that_dies_is_unknown_in_the_file_too(tmp_path: Path) -> None:
    results = tmp_path / "results.txt"
    assert ran(f"note(results={str(results)!r}); os.abort()")[1][0] == "unknown"
    assert results.read_text() == "unknown\n"
