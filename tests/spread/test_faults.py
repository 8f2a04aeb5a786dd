"""Processes are killed for real: no finished row is lost, none is there twice, none is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from toy import row_of

from ballproof.runs import Run

pytest.importorskip("distributed")
COUNT = 240
HERE = Path(__file__).resolve().parent
AROUND = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1] / "src")])}


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Whatever a test starts is gone after it, with its children."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        _kill_group(process)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def started(processes: list[subprocess.Popen[str]], *command: str, said: Path | None = None) -> subprocess.Popen[str]:
    """In a process group of its own. said: a file for what it says of errors."""
    with Path(said or os.devnull).open("w") as words:
        process = subprocess.Popen(command, env=AROUND, start_new_session=True, text=True, stdout=words, stderr=words)
    processes.append(process)
    return process


def toy(processes: list[subprocess.Popen[str]], out: Path, who: str, pause: float = 0.02) -> subprocess.Popen[str]:
    code = "import sys, toy; sys.exit(toy.main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, str(out), str(COUNT), who, str(pause)]
    return started(processes, *words, said=out.with_name(f"said{len(processes)}"))


def rows(out: Path) -> int:
    path = out / "rows.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def begun(out: Path) -> int:
    return (out / "begun").read_bytes().count(b"\n")


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def told(out: Path) -> list[dict[str, object]]:
    return sorted(Run.read(out).rows("rows.jsonl"), key=lambda row: row["index"])


WHOLE = [row_of(i) for i in range(COUNT)]


def family(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children(recursive=True)
    return [p for p in found if any(word in part for part in p.cmdline())]


@pytest.mark.slow
def test_workers_and_the_driver_are_killed(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    """A process of a worker, a worker, then the driver; the run is resumed by one process, and one more kill."""
    driver = toy(processes, tmp_path / "a", "2")
    wait_for(lambda: rows(tmp_path / "a") > 20)
    family(driver, "hand_process")[0].kill()
    wait_for(lambda: rows(tmp_path / "a") > 50)
    family(driver, "spawn_main")[0].kill()
    wait_for(lambda: rows(tmp_path / "a") > 100)
    left = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive, "a worker outlived its driver"
    assert 100 < rows(tmp_path / "a") < COUNT
    before = begun(tmp_path / "a") - rows(tmp_path / "a")
    assert before <= 2 * 2 + 2  # an item for each worker, one on its way, and those of the two kills before
    assert toy(processes, tmp_path / "a", "1", 0.0).wait(60) == 0
    assert told(tmp_path / "a") == WHOLE
    assert begun(tmp_path / "a") - COUNT == before


@pytest.mark.slow
def test_a_node_and_then_the_scheduler_are_killed(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    where = tmp_path / "scheduler.json"
    scheduler = started(processes, sys.executable, "-m", "dask", "scheduler", "--port", "0", "--scheduler-file", str(where))
    node = [sys.executable, "-m", "dask", "worker", "--scheduler-file", str(where), "--nthreads", "1", "--no-dashboard"]
    first, _ = started(processes, *node), started(processes, *node)
    wait_for(lambda: where.is_file() and where.stat().st_size)
    address = json.loads(where.read_text())["address"]
    driver = toy(processes, tmp_path / "a", address)
    wait_for(lambda: rows(tmp_path / "a") > 40)
    _kill_group(first)  # the nanny, its worker, and what that one started
    wait_for(lambda: rows(tmp_path / "a") > 80)
    _kill_group(scheduler)
    assert driver.wait(90) == 2
    assert "scheduler is gone" in (tmp_path / "said3").read_text()
    assert rows(tmp_path / "a") < COUNT
    assert toy(processes, tmp_path / "a", "1", 0.0).wait(60) == 0
    assert told(tmp_path / "a") == WHOLE


@pytest.mark.slow
def test_sigterm_writes_all_and_two_commands_do_not_meet(tmp_path: Path, processes: list[subprocess.Popen[str]]) -> None:
    driver = toy(processes, tmp_path / "a", "2")
    wait_for(lambda: rows(tmp_path / "a") > 20)
    second = toy(processes, tmp_path / "a", "1")
    assert second.wait(30) == 2
    assert f"in use by process {driver.pid} on" in (tmp_path / "said1").read_text()
    began = time.monotonic()
    driver.terminate()
    assert driver.wait(30) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 10
    assert rows(tmp_path / "a") == begun(tmp_path / "a") < COUNT
    assert toy(processes, tmp_path / "a", "1", 0.0).wait(60) == 0
    assert told(tmp_path / "a") == WHOLE
    assert begun(tmp_path / "a") == COUNT
