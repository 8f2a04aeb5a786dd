"""A run of `certify` under `kill -9`: python benchmarks/kills.py [--kills 50] [--items 500] [--workers 2]. Prints JSON.

Again and again the run is started with one or two workers, or as many as told; up to three seconds after it has new rows one of
its processes is killed at random: the driver, a worker of Dask, or the process in which a worker computes. Where the driver
survives it goes on until it is killed itself. After the last kill the run is finished, and its table is compared with that of a
run that nobody disturbed, bit for bit but for `seconds`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ASKED = ["--data", "digits", "--split", "train", "--eps", "0.06", "--method", "bab", "--limit-each", "600", "--curve", "0"]
ASKED += ["--batch", "1", "--attack-steps", "10"]


def command(out: Path, items: int, workers: int) -> list[str]:
    whole = [sys.executable, "-m", "ballproof", "certify", "digits-robust", *ASKED, "--limit", str(items)]
    return [*whole, "--workers", str(workers), "--out", str(out), "--resume"]


def rows(out: Path) -> int:
    return sum((out / n).read_bytes().count(b"\n") for n in ("rows.jsonl", "open.jsonl") if (out / n).is_file())


def table(out: Path) -> str:
    found = pq.read_table(out / "results.parquet").to_pylist()
    return repr([{k: v for k, v in row.items() if k != "seconds"} for row in found])


def killed(process: subprocess.Popen[bytes], draw: random.Random) -> str:
    """Kills one process of the run; which kind it was."""
    family = [psutil.Process(process.pid)]
    family += [p for p in family[0].children(recursive=True) if "resource_tracker" not in " ".join(p.cmdline())]
    victim = draw.choice(family)
    words = " ".join(victim.cmdline())
    victim.kill()
    return "driver" if victim.pid == process.pid else "hand" if "hand_process" in words else "worker"


def disturbed(out: Path, items: int, kills: int, workers: int) -> dict[str, int]:
    """How often which kind of process was killed."""
    draw, done = random.Random(0), {"driver": 0, "worker": 0, "hand": 0}
    while sum(done.values()) < kills:
        process = subprocess.Popen(
            command(out, items, workers or draw.choice((1, 2))), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and sum(done.values()) < kills:
            before = rows(out)
            while process.poll() is None and rows(out) == before:
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 3))
            if process.poll() is None:
                try:
                    done[killed(process, draw)] += 1
                except psutil.NoSuchProcess:
                    continue
                time.sleep(0.2)
        if process.poll() == 0:
            break
        process.kill()
        process.wait()
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--workers", type=int, default=0, help="0: one or two, as it happens.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place) / "whole", Path(place) / "cut"
        done = disturbed(cut, asked.items, asked.kills, asked.workers)
        there = rows(cut)
        for out in (cut, whole):
            subprocess.run(command(out, asked.items, 1), check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line)["index"] for line in (cut / "rows.jsonl").read_text().splitlines()]
        told = {"items": asked.items, "kills": done, "rows_before_the_last_start": there, "rows": len(lines)}
        told |= {"twice": len(lines) - len(set(lines)), "equal": table(cut) == table(whole)}
        print(json.dumps(told))


if __name__ == "__main__":
    main()
