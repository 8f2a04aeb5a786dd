"""`run_benchmark`: every problem of a VNN-COMP folder, each in a process of its own, resumable."""

from __future__ import annotations

import csv
import io
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from ballproof.errors import BallproofError, InputError
from ballproof.runs import Run

ROWS, TABLE, WITNESSES = "rows.jsonl", "results.csv", "counterexamples"
RESULTS = ("unsat", "sat", "unknown", "timeout", "error")
GRACE = 5.0
"""Seconds after its limit before a process is stopped from outside; it should have said `timeout` by itself long before."""

STARTING = 60.0
"""Seconds that a process may take to start, on top."""

BEGUN = "begun"

Row = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """One line of instances.csv: names relative to the folder, and the limit in seconds. expected: of expected.csv, or ''."""

    onnx: str
    vnnlib: str
    timeout: float
    expected: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.onnx, self.vnnlib)


def instances(folder: Path, timeout: float | None = None) -> list[Instance]:
    """The problems of a folder, in order. timeout: in place of the limits that the file gives."""
    listed = folder / "instances.csv"
    if not listed.is_file():
        raise InputError(f"no file {listed}; expected a VNN-COMP folder with instances.csv, onnx/ and vnnlib/")
    known = {}
    if (folder / "expected.csv").is_file():
        with (folder / "expected.csv").open() as file:
            known = {(r["onnx"], r["vnnlib"]): r["expected"] for r in csv.DictReader(file)}
    found = []
    for number, row in enumerate(csv.reader(io.StringIO(listed.read_text())), 1):
        if not row:
            continue
        try:
            onnx, vnnlib, limit = (c.strip() for c in row[:3])
            found.append(Instance(onnx, vnnlib, timeout or float(limit), known.get((onnx, vnnlib), "")))
        except ValueError:
            raise InputError(f"{listed}, line {number}: expected onnx,vnnlib,seconds, got {','.join(row)[:80]}") from None
    return found


def located(folder: Path, name: str) -> Path:
    """The file of this name, packed or not."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"no file {folder / name}, packed or not")


def run_benchmark(
    folder: Path,
    run: Run,
    timeout: float | None = None,
    engine: str = "auto",
    workers: int = 1,
    threads: int = 0,
    watch: Callable[[int, Row], None] = lambda done, row: None,
) -> list[Row]:
    """One row a problem: result, seconds, engine, bound, reason, and `expected` where the folder says it.

    Rows are flushed as they come; those that the run has already are not computed again. A process that dies or does not
    stop at its limit costs its own problem alone.
    """
    every = instances(folder, timeout)
    done = {(r["onnx"], r["vnnlib"]) for r in run.rows(ROWS)}
    left = [i for i in every if i.key not in done]
    count = len(every) - len(left)
    for row in _answers(folder, left, engine, workers, threads):
        _write_witness(run, row)
        run.append(ROWS, [row])
        count += 1
        watch(count, row)
    order = {i.key: n for n, i in enumerate(every)}
    rows = sorted(run.rows(ROWS), key=lambda r: order[r["onnx"], r["vnnlib"]])
    _write_table(run, rows)
    return rows


def judged(row: Row) -> str:
    """`right`, `wrong`, `open` (no answer of ours), or `new` (nobody knew)."""
    if row["result"] not in ("sat", "unsat"):
        return "open"
    if row["expected"] not in ("sat", "unsat"):
        return "new" if row["expected"] else ""
    return "right" if row["result"] == row["expected"] else "wrong"


def totals(rows: list[Row]) -> Row:
    """How many of each result, how many contradict `expected`, and the seconds of all."""
    counts: Row = {name: sum(r["result"] == name for r in rows) for name in RESULTS}
    wrong = sum(judged(r) == "wrong" for r in rows)
    return {"n": len(rows), **counts, "wrong": wrong, "seconds": round(sum(r["seconds"] for r in rows), 3)}


@dataclass
class _Job:
    instance: Instance
    process: Any
    pipe: Connection
    start: float
    told: Row | None = None
    began: float = float("inf")

    @property
    def late(self) -> bool:
        now = time.monotonic()
        return now - self.began > self.instance.timeout + GRACE or now - self.start > self.instance.timeout + STARTING

    def listen(self) -> bool:
        """Takes in what the process says; whether it has said all it will."""
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                if said == BEGUN:
                    self.began = time.monotonic()
                else:
                    self.told = said
        except EOFError:
            return True
        return self.told is not None or not self.process.is_alive()


def _answers(folder: Path, left: list[Instance], engine: str, workers: int, threads: int) -> Iterator[Row]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ballproof.solve.files"])
    jobs: list[_Job] = []
    queue = list(reversed(left))
    try:
        while queue or jobs:
            while queue and len(jobs) < workers:
                jobs.append(_started(context, folder, queue.pop(), engine, threads))
            wait([j.pipe for j in jobs], timeout=0.5)
            for job in list(jobs):
                if job.listen() or job.late:
                    jobs.remove(job)
                    yield _finished(job)
    finally:
        for job in jobs:
            job.process.kill()


def _started(context: Any, folder: Path, instance: Instance, engine: str, threads: int) -> _Job:
    files = (located(folder, instance.onnx), located(folder, instance.vnnlib))
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_solve, args=(theirs, *files, instance.timeout, engine, threads), daemon=True)
    start = time.monotonic()
    process.start()
    theirs.close()
    return _Job(instance, process, mine, start)


def _finished(job: _Job) -> Row:
    job.process.kill()
    job.process.join()
    dead = ("timeout", "stopped from outside") if job.late else ("error", f"the process died ({job.process.exitcode})")
    told = job.told or {"result": dead[0], "reason": dead[1], "engine": "", "bound": None, "witness": ""}
    i = job.instance
    seconds = round(time.monotonic() - job.start, 3)
    return {"onnx": i.onnx, "vnnlib": i.vnnlib, "timeout": i.timeout, "seconds": seconds, "expected": i.expected, **told}


def _solve(pipe: Connection, network: Path, specification: Path, timeout: float, engine: str, threads: int) -> None:
    """What the process of one problem does."""
    import torch

    from ballproof.solve.files import verify_files, written

    pipe.send(BEGUN)
    if threads:
        torch.set_num_threads(threads)
    told: Row = {"result": "error", "engine": "", "bound": None, "witness": ""}
    try:
        found = verify_files(network, specification, timeout, engine)
        bound = found.bound if abs(found.bound) < float("inf") else None
        witness = written(found.witness) if found.witness is not None else ""
        told = {"result": found.result, "reason": found.reason, "engine": found.engine, "bound": bound, "witness": witness}
    except BallproofError as error:
        told["reason"] = " ".join(str(error).split())
    except MemoryError:
        told = {**told, "result": "unknown", "reason": "memory"}
    except Exception as error:  # noqa: BLE001 - one problem must not end the others
        told["reason"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    pipe.send(told)
    pipe.close()


def _write_witness(run: Run, row: Row) -> None:
    text = row.pop("witness")
    if text:
        (run.path / WITNESSES).mkdir(exist_ok=True)
        name = f"{Path(row['onnx']).stem}__{Path(row['vnnlib']).stem}.counterexample"
        (run.path / WITNESSES / name).write_text(f"sat\n{text}")


def _write_table(run: Run, rows: list[Row]) -> None:
    out = io.StringIO()
    fields = ["onnx", "vnnlib", "timeout", "result", "seconds", "engine", "bound", "expected", "judged", "reason"]
    writer = csv.DictWriter(out, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**r, "judged": judged(r)} for r in rows)
    run.write_bytes(TABLE, out.getvalue().encode())
