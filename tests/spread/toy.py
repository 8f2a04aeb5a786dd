"""A toy of `Work` for the tests of spreading, and a command that carries it out: OUT ITEMS WORKERS|ADDRESS [PAUSE]

It is started by `python -c "import sys, toy; sys.exit(toy.main(sys.argv[1:]))"`, so that other processes find its classes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ballproof.errors import InputError
from ballproof.runs import Run
from ballproof.runs.signals import Stopped, stoppable
from ballproof.spread import Row, Rows, Work, Workers, spread


@dataclass(frozen=True)
class Item:
    """size: MiB that its row takes. does: what happens on the way."""

    index: int
    does: str = ""
    size: int = 0


@dataclass(frozen=True)
class Toy(Work[Item]):
    """Rows that a checker can compute itself. begun: a file that gets a line when an item begins; marks: what died already."""

    folder: str = ""
    pause: float = 0.0
    isolated = True

    def rows(self, item: Item) -> Rows:
        if self.folder:
            with (Path(self.folder) / "begun").open("a") as file:
                file.write(f"{item.index}\n")
        time.sleep(self.pause)
        if item.does == "die" or (item.does == "die once" and self._first(item)):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.does == "hang":
            time.sleep(600)
        if item.does == "refuse":
            raise InputError(f"item {item.index} is refused")
        held = bytearray(item.size << 20)
        return [row_of(item.index, len(held) >> 20)]

    def _first(self, item: Item) -> bool:
        mark = Path(self.folder) / f"mark{item.index}"
        there = mark.exists()
        mark.touch()
        return not there

    def smaller(self, item: Item) -> list[Item]:
        return [replace(item, size=item.size // 2)] if item.size > 400 else []

    def given_up(self, item: Item, reason: str) -> Rows:
        return [{"index": item.index, "value": None, "size": 0, "reason": reason}]

    def seconds(self, item: Item) -> float:
        return 0.5 if item.does == "hang" else float("inf")


def row_of(index: int, size: int = 0) -> Row:
    return {"index": index, "value": index * index % 1009, "size": size, "reason": ""}


def carry_out(out: Path, count: int, workers: Workers, pause: float) -> int:
    """All items that the run in `out` lacks."""
    run = Run.start(out, "toy", {"count": count}, resume=True)
    done = {row["index"] for row in run.rows("rows.jsonl")}

    def items() -> Iterator[Item]:
        return (Item(i) for i in range(count) if i not in done)

    for _, rows in spread(Toy(str(out), pause), items(), workers):
        run.append("rows.jsonl", rows)
    return 0


def main(arguments: list[str]) -> int:
    out, count, who, *pause = arguments
    workers = Workers(cluster=who) if ":" in who else Workers(int(who))
    try:
        with stoppable():
            return carry_out(Path(out), int(count), workers, float((pause or ["0.01"])[0]))
    except Stopped as stopped:
        return 128 + int(stopped.args[0])
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
