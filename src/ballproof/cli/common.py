"""What the commands share: options, the run folder, output."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ballproof.cli.progress import waiting

if TYPE_CHECKING:
    from ballproof.data import Dataset
    from ballproof.runs import Run
    from ballproof.spread import Workers


def switch(help: str) -> Parameter:
    """An option that is off unless it is given."""
    return Parameter(negative="", show_default=False, help=help)


DataDir = Annotated[Path | None, Parameter(help="Where the data sets are; default $BALLPROOF_DATA.")]
Download = Annotated[bool, switch("Fetch the official files that are missing, and check them.")]
Json = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print one JSON object as the last line.")
]
Limit = Annotated[int, Parameter(help="Only the first N examples; 0 for all.")]
Out = Annotated[Path | None, Parameter(help="The run folder; default runs/COMMAND-TIME.")]
OutIfAny = Annotated[Path | None, Parameter(help="A run folder, if one is wanted.")]
Resume = Annotated[bool, switch("Go on with the run in --out.")]
Clip = Annotated[bool, Parameter(help="Cut the ball with the valid range [0, 1], or not.")]
WorkerCount = Annotated[
    int, Parameter(name="--workers", show_default=False, help="Processes, one thread each unless --threads; 0: this.")
]
Cluster = Annotated[str, Parameter(show_default=False, help="Address of a Dask scheduler, tcp://HOST:8786.")]
WorkerMemory = Annotated[int, Parameter(show_default=False, help="MiB an item may use on a worker; 0: an equal share.")]
Threads = Annotated[int, Parameter(help="CPU threads; 0 leaves PyTorch's choice.")]


def folder(out: Path | None, command: str) -> Path:
    """The run folder that was asked for, or a fresh name under runs/."""
    return out if out is not None else Path("runs") / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def limited(data: Dataset, limit: int) -> Dataset:
    """The first `limit` examples, all for 0; what is worth knowing about the files is told on the way."""
    from ballproof.errors import InputError

    if limit < 0:
        raise InputError(f"`limit` is {limit}, expected a number of examples, or 0 for all")
    if data.note:
        print(f"{data.name}: {data.note}", file=sys.stderr)
    return data.subset(list(range(min(limit, len(data.labels))))) if limit else data


def rows_line(run: Run) -> str:
    """Where the rows of a run are."""
    from importlib.util import find_spec

    also = "and results.parquet" if find_spec("pyarrow") else "(results.parquet needs pip install 'ballproof[parquet]')"
    return f"rows: {run.path / 'rows.jsonl'} {also}"


def reported(run: Run) -> dict[str, str]:
    """Write the run's page; the key `report` of what a command tells."""
    from ballproof.report import write_report

    with waiting("report"):
        return {"report": str(write_report([run.path], run.path / "report.html"))}


def tell(as_json: bool, told: dict[str, Any], lines: list[str]) -> None:
    """The result: a few words for people, and with --json one object as the last line."""
    for line in lines:
        print(line)
    if as_json:
        print(json.dumps(told), flush=True)


def helpers(workers: int, cluster: str, threads: int, memory: int) -> Workers:
    """Who carries out the items. With --workers every process has one thread unless told, the only one too."""
    from ballproof.spread import Workers

    found = Workers(workers, cluster, threads, memory * 2**20)
    use_threads(threads or (1 if workers else 0))
    return found


def use_threads(threads: int) -> None:
    import torch

    if threads > 0:
        torch.set_num_threads(threads)
