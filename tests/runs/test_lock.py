"""Two commands do not meet in one folder, and a process that is gone holds none; no clock on the wall decides anything."""

from __future__ import annotations

import ast
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ballproof.errors import InputError
from ballproof.runs import Run
from ballproof.runs.lock import LOCK, Lock
from ballproof.runs.signals import Stopped, shielded, stoppable

SOURCE = Path(__file__).resolve().parents[2] / "src"
HOLD = "import sys; from ballproof.runs import Run; run = Run.start(sys.argv[1], 'certify', {}, True)"
HOLD += "; print('held', flush=True); input()"


def holder(path: Path) -> subprocess.Popen[str]:
    around = {**os.environ, "PYTHONPATH": str(SOURCE)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": around}
    process: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **pipes)  # type: ignore[call-overload]
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_command_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with holder(tmp_path / "a") as process:
        with pytest.raises(InputError, match=rf"in use by process {process.pid} on \S+ since"):
            Run.start(tmp_path / "a", "certify", {}, resume=True)
        process.kill()
        process.wait()
        assert Run.start(tmp_path / "a", "certify", {}, resume=True).config["command"] == "certify"


def test_a_run_that_is_let_go_is_free(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "certify", {}, resume=False)
    assert Lock.of(run.path) is run.lock  # the same process may start it again
    del run
    with holder(tmp_path / "a") as process:
        process.kill()


@pytest.mark.parametrize(("owner", "free"), [("dead", True), ("other host", False), ("alive", False), ("", True)])
def test_without_locks_of_the_system_the_signature_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, free: bool
) -> None:
    import fcntl
    import socket

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    process = {"dead": gone.pid, "alive": os.getppid(), "other host": 1}.get(owner)
    host = "elsewhere" if owner == "other host" else socket.gethostname()
    (tmp_path / LOCK).write_text(json.dumps({"host": host, "process": process}) if owner else "")
    if free:
        assert Lock.of(tmp_path).path == tmp_path / LOCK
    else:
        with pytest.raises(InputError, match="in use by"):
            Lock.of(tmp_path)


def test_a_signal_waits_for_the_end_of_a_shield() -> None:
    reached = []

    def work() -> None:
        with shielded():
            with shielded():
                os.kill(os.getpid(), signal.SIGTERM)
                reached.append(1)
            reached.append(2)
        reached.append(3)

    with pytest.raises(Stopped) as stopped, stoppable():
        work()
    assert reached == [1, 2] and stopped.value.args == (signal.SIGTERM,)
    with pytest.raises(Stopped), stoppable():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_no_clock_on_the_wall_is_computed_with() -> None:
    """A clock that jumps changes no limit and no measurement: the wall clock is only written down, as text."""
    found = set()
    for file in (SOURCE / "ballproof").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = f"{node.value.id}.{node.attr}"
                if name in {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "time.localtime", "time.gmtime"}:
                    found.add((str(file.relative_to(SOURCE)), name))
    assert not found


def test_a_training_that_is_asked_to_end_keeps_its_last_step_and_says_what_to_do(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "ballproof", "train", "--data", "digits", "--model", "mlp", "--method", "interval"]
    asked += ["--eps", "0.02", "--epochs", "5000", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "a")]
    with (tmp_path / "said").open("w") as words:
        process = subprocess.Popen(asked, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=words, stderr=words)
        try:
            end = time.monotonic() + 90
            while not (tmp_path / "a" / "log.jsonl").is_file() and time.monotonic() < end:
                time.sleep(0.05)
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        finally:
            process.kill()
            process.wait()
    assert "go on with --resume" in (tmp_path / "said").read_text()
    assert (tmp_path / "a" / "checkpoint.pt").is_file()
