"""`run_benchmark`: every problem of a VNN-COMP folder, each in a process of its own, resumable."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ballproof.bounds.memory import divided_memory
from ballproof.errors import BallproofError, InputError
from ballproof.files import text_of
from ballproof.runs import Run
from ballproof.spread import HERE, Failure, Row, Rows, Work, Workers, spread
from ballproof.spread.work import patience

MOST_BYTES = 2**26
"""Of a table of problems."""

ROWS, TABLE, WITNESSES = "rows.jsonl", "results.csv", "counterexamples"
RESULTS = ("unsat", "sat", "unknown", "timeout", "error")


@dataclass(frozen=True)
class Instance:
    """One line of instances.csv: names relative to the folder, and the limit in seconds. expected: of expected.csv, or ''.

    parts: by how much the memory for bounds is divided. spent: seconds of the limit that earlier attempts took.
    """

    onnx: str
    vnnlib: str
    timeout: float
    expected: str = ""
    parts: int = 1
    spent: float = 0.0

    @property
    def left(self) -> float:
        return max(self.timeout - self.spent, 0.0)

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
        head, *answers = _table(folder / "expected.csv") or [[]]
        each = [dict(zip(head, row, strict=False)) for row in answers]
        known = {(r.get("onnx", ""), r.get("vnnlib", "")): r.get("expected", "") for r in each}
    found = []
    for number, row in enumerate(_table(listed), 1):
        if not row:
            continue
        try:
            onnx, vnnlib, limit = (c.strip() for c in row[:3])
            seconds = timeout or float(limit)
            if not 0 < seconds < float("inf"):
                raise ValueError
            found.append(Instance(onnx, vnnlib, seconds, known.get((onnx, vnnlib), "")))
        except ValueError:
            raise InputError(f"{listed}, line {number}: expected onnx,vnnlib,seconds, got {','.join(row)[:80]}") from None
    return found


def _table(path: Path) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text_of(path, MOST_BYTES))))
    except csv.Error as error:
        raise InputError(f"{path} is no table: {error}") from error


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
    workers: Workers = HERE,
    watch: Callable[[int, Row], None] = lambda done, row: None,
) -> list[Row]:
    """One row a problem: result, seconds, engine, bound, reason, and `expected` where the folder says it.

    Rows are flushed as they come; those that the run has already are not computed again. A process that dies or does not
    stop at its limit costs its own problem alone. Problems with the longest limits and the largest files go first.
    """
    every = instances(folder, timeout)
    done = {(r["onnx"], r["vnnlib"]) for r in run.rows(ROWS)}
    left = slowest_first(folder, [i for i in dict.fromkeys(every) if i.key not in done])
    count = len(every) - len(left)
    for _, rows in spread(Deciding(folder.resolve(), engine), left, workers):
        for row in rows:
            _write_witness(run, row)
            run.append(ROWS, [row])
            count += 1
            watch(count, row)
    found = {(r["onnx"], r["vnnlib"]): r for r in run.rows(ROWS)}
    rows = [found[i.key] for i in every]
    _write_table(run, rows)
    return rows


def slowest_first(folder: Path, left: list[Instance]) -> list[Instance]:
    """Those with the longest limit first, of those the largest networks; else in their order. A missing file is refused."""
    sizes = {i.onnx: located(folder, i.onnx).stat().st_size for i in left}
    for i in left:
        located(folder, i.vnnlib)
    return sorted(left, key=lambda i: (-i.timeout, -sizes[i.onnx]))


@dataclass(frozen=True)
class Deciding(Work[Instance]):
    """One problem of the folder, which every worker has to see at the same place."""

    folder: Path
    engine: str
    isolated = True

    def rows(self, item: Instance) -> Rows:
        started, told = time.monotonic(), _told("error")
        from ballproof.solve.files import verify_files, written

        try:
            with divided_memory(item.parts):
                files = located(self.folder, item.onnx), located(self.folder, item.vnnlib)
                found = verify_files(*files, item.left - (time.monotonic() - started), self.engine)
            if found.reason.startswith("memory") and self.smaller(item):
                raise MemoryError
            bound = found.bound if abs(found.bound) < float("inf") else None
            witness = written(found.witness) if found.witness is not None else ""
            told = {"result": found.result, "reason": found.reason, "engine": found.engine, "bound": bound, "witness": witness}
        except BallproofError as error:
            told["reason"] = " ".join(str(error).split())
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - one problem must not end the others
            told["reason"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return [_row(item, told, item.spent + time.monotonic() - started)]

    def smaller(self, item: Instance) -> list[Instance]:
        return [replace(item, parts=8 * item.parts)] if item.parts < 64 else []

    def seconds(self, item: Instance) -> float:
        return patience(item.timeout) - item.spent

    def after(self, item: Instance, seconds: float) -> Instance:
        return replace(item, spent=item.spent + seconds)

    def given_up(self, item: Instance, reason: str) -> Rows:
        if reason == Failure.TIME.value:
            return [_row(item, _told("timeout", "time: stopped from outside"), item.timeout)]
        result = "unknown" if reason == Failure.MEMORY.value else "error"
        return [_row(item, _told(result, reason), 0.0)]


def _told(result: str, reason: str = "") -> Row:
    return {"result": result, "reason": reason, "engine": "", "bound": None, "witness": ""}


def _row(i: Instance, told: Row, seconds: float) -> Row:
    told = {"seconds": round(seconds, 3), "expected": i.expected, **told}
    return {"onnx": i.onnx, "vnnlib": i.vnnlib, "timeout": i.timeout, **told}


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
