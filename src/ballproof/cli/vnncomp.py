"""`ballproof vnncomp`: every problem of a VNN-COMP folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ballproof.cli.common import Cluster, Json, Out, Resume, Threads, WorkerMemory, folder, reported, tell
from ballproof.cli.progress import progress
from ballproof.cli.verify import Engine
from ballproof.cli.watched import LONGEST


def vnncomp(
    benchmark: Annotated[Path, Parameter(name="FOLDER", help="A folder with instances.csv, onnx/ and vnnlib/.")],
    *,
    timeout: Annotated[float, Parameter(help="Seconds a problem; 0 takes the limits of instances.csv.")] = 0.0,
    engine: Engine = "auto",
    workers: Annotated[int, Parameter(help="Problems that are worked on at once, each by a process of its own.")] = 1,
    cluster: Cluster = "",
    worker_memory: WorkerMemory = 0,
    threads: Threads = 0,
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Decide every problem of the folder, each in a process of its own; compare with expected.csv where there is one.

    Writes results.csv, cactus.svg and the counterexamples as VNN-COMP wants them.

    Example: ballproof vnncomp acasxu --timeout 60 --workers 2 --out runs/acasxu
    """
    from ballproof.errors import InputError
    from ballproof.evaluate.vnncomp import ROWS, TABLE, instances, judged, run_benchmark, totals
    from ballproof.report.benchmark import cactus
    from ballproof.runs import Run
    from ballproof.spread import Workers

    if not 0 <= timeout <= LONGEST or workers < 1:
        asked = f"`timeout` is {timeout:g} and `workers` {workers}"
        raise InputError(f"{asked}; expected seconds from 0 to {LONGEST:g} and workers >= 1")
    many = Workers(0 if cluster and workers == 1 else workers, cluster, threads, worker_memory * 2**20)
    every = instances(benchmark, timeout or None)
    settings = {"folder": str(benchmark.resolve()), "timeout": timeout, "engine": engine}
    run = Run.start(folder(out, "vnncomp"), "vnncomp", settings, resume)
    with progress(len(every), benchmark.name) as show:
        run.append(ROWS, [])
        rows = run_benchmark(benchmark, run, timeout or None, engine, many, lambda done, row: show(done, str(row["result"])))
    run.write_bytes("cactus.svg", cactus(rows).encode())
    told = {**totals(rows), "results": str(run.path / TABLE), **reported(run)}
    lines = [f"{told['n']} problems: {told['unsat']} unsat, {told['sat']} sat, {told['unknown'] + told['timeout']} undecided"]
    lines += [f"{told['error']} could not be read or modelled"] if told["error"] else []
    lines += [
        f"contradicts expected.csv: {r['onnx']} {r['vnnlib']} is said to be {r['expected']}"
        for r in rows
        if judged(r) == "wrong"
    ]
    tell(json, told, [*lines, f"results: {told['results']}", f"report: {told['report']}"])
