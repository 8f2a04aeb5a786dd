"""What spreading costs and gains: python benchmarks/spread.py throughput | ceiling | overhead | memory. Prints one JSON object.

throughput: 200 items of `certify --method bab`, by one worker and by two of one thread each, in one run; startup is told apart.
ceiling: the same by one worker, and by two such commands side by side that share nothing but the machine.
overhead: 2,000 items more that do nothing, through two workers; processor time is that of all processes, startup left out.
memory: the driver's peak for 10 and for 100,000 items.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ballproof.runs import Run
from ballproof.spread import Rows, Work, Workers, spread


@dataclass(frozen=True)
class Nothing(Work[int]):
    """A row of the size that `certify` writes."""

    isolated = True

    def rows(self, item: int) -> Rows:
        return [{"index": item, "margins": [0.123456789 * i for i in range(9)], "by": "crown", "seconds": 0.0}]

    def given_up(self, item: int, reason: str) -> Rows:
        return [{"index": item, "reason": reason}]


def driven(count: int, workers: int) -> dict[str, float]:
    """Seconds an item after the first, and MiB of the driver at its peak."""
    with tempfile.TemporaryDirectory() as place:
        run = Run.start(Path(place) / "run", "nothing", {}, resume=False)
        first = 0.0
        for _, rows in spread(Nothing(), iter(range(count)), Workers(workers)):
            run.append("rows.jsonl", rows)
            first = first or time.perf_counter()
        last = time.perf_counter()
        table = run.rows("rows.jsonl")
        assert len(table) == count
        found = sum(len(row["margins"]) for row in table)
        assert found == 9 * count
        spent = sum(resource.getrusage(who)[k] for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for k in (0, 1))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        each = 1000 * (last - first) / max(1, count - 1)
        return {"items": count, "milliseconds_an_item": each, "cpu_seconds": spent, "peak_mib": round(peak, 1)}


def apart(*arguments: str) -> dict[str, float]:
    """`driven` in a process of its own, so that one peak does not hide another."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import spread as s, json; "
    code += f"print(json.dumps(s.driven({', '.join(arguments)})))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(found.stdout.strip().splitlines()[-1])
    return told


ASKED = [
    "certify",
    "digits-robust",
    "--data",
    "digits",
    "--eps",
    "0.13",
    "--method",
    "bab",
    "--limit-each",
    "4",
    "--curve",
    "0",
]
"""Of the first 200 examples no search is longer than a sixteenth of all work."""


@contextmanager
def command(workers: int, items: int) -> Iterator[tuple[Path, subprocess.Popen[str], float]]:
    """A `certify` that runs, its run folder, and when it began."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        told = ["--limit", str(items), "--batch", "1", "--workers", str(workers), "--out", str(out), "--json"]
        began = time.perf_counter()
        yield (
            out,
            subprocess.Popen([sys.executable, "-m", "ballproof", *ASKED, *told], stdout=subprocess.PIPE, text=True),
            began,
        )


def searched(workers: int, items: int) -> dict[str, float]:
    """Seconds of a whole `certify` command, and from its first to its last row; processor time of all its processes."""
    before = _processor()
    with command(workers, items) as (out, process, began):
        first, last = _rows(out, process)
        process.communicate()
        whole = time.perf_counter() - began
        each = [json.loads(line)["seconds"] for line in (out / "rows.jsonl").read_text().splitlines()]
    told = {"workers": workers, "whole": whole, "first": first - began, "rows": last - first, "cpu": _processor() - before}
    return told | {"longest_share": max(each) / sum(each)}


def beside(items: int) -> float:
    """Seconds from first to last row of a one-worker command that shares the machine with another; the longer of two."""
    with command(1, items) as (one, mine, _), command(1, items) as (two, other, _), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_rows, (one, two), (mine, other)))
        mine.communicate(), other.communicate()
    return max(last - first for first, last in found)


def _processor() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _rows(out: Path, process: subprocess.Popen[str]) -> tuple[float, float]:
    """When the first row was there, and the last."""
    while process.poll() is None and not any((out / n).is_file() and (out / n).stat().st_size for n in JOURNALS):
        time.sleep(0.02)
    first = last = time.perf_counter()
    while process.poll() is None and not (out / "results.parquet").is_file():
        last = time.perf_counter()
        time.sleep(0.02)
    return first, last


JOURNALS = ("rows.jsonl", "open.jsonl")


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "throughput":
        one, two = searched(1, 200), searched(2, 200)
        print(json.dumps({"one": one, "two": two, "ratio": one["rows"] / two["rows"], "whole": one["whole"] / two["whole"]}))
    elif what == "ceiling":
        one, both = searched(1, 200), beside(200)
        print(json.dumps({"one": one, "both": both, "ratio": 2 * one["rows"] / both}))
    elif what == "overhead":
        few, many = apart("200", "2"), apart("2200", "2")
        cpu = 1000 * (many["cpu_seconds"] - few["cpu_seconds"]) / 2000
        print(json.dumps({"few": few, "many": many, "cpu_milliseconds_an_item": cpu}))
    elif what == "memory":
        print(json.dumps([apart(count, "1") for count in ("10", "100000")] + [apart(count, "2") for count in ("10", "100000")]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
