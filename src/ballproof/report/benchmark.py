"""The section of a benchmark: how many problems are decided within how many seconds each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballproof.evaluate.vnncomp import ROWS, judged, totals
from ballproof.report.figures import figure, svg
from ballproof.report.section import Figure, Headline, Kind, Section, Table
from ballproof.runs import Run


def cactus(rows: Sequence[dict[str, Any]]) -> str:
    """An `<svg>` element. rows: as `run_benchmark` gives them."""
    fig, axes = figure(4.6, 2.8)
    for result in ("unsat", "sat"):
        times = sorted(r["seconds"] for r in rows if r["result"] == result)
        axes.step([0, *range(1, len(times) + 1)], [0, *times], where="pre", label=f"{result} ({len(times)})")
    both = sorted(r["seconds"] for r in rows if r["result"] in ("sat", "unsat"))
    axes.step([0, *range(1, len(both) + 1)], [0, *both], where="pre", label=f"decided ({len(both)} of {len(rows)})")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("problems")
    axes.set_ylabel("seconds each, at most")
    axes.legend(fontsize=7)
    return svg(fig)


def benchmark(run: Run) -> Section:
    asked, rows = run.config["settings"], list(run.rows(ROWS))
    lead = f"Every problem of {asked['folder']}: does an input of the specification give an output that it calls unsafe?"
    told = totals(rows)
    open_ = told["unknown"] + told["timeout"] + told["error"]
    headlines = (
        Headline("unsat", str(told["unsat"]), Kind.PROVEN, "No input gives an unsafe output.", told["unsat"]),
        Headline("sat", str(told["sat"]), Kind.FOUND, "An input that gives an unsafe output.", told["sat"]),
        Headline("undecided", str(open_), Kind.MEASURED, "Unknown, out of time, or not modelled.", open_),
        Headline("wrong", str(told["wrong"]), Kind.MEASURED, "Answers that contradict expected.csv.", told["wrong"]),
    )
    limit = f"{asked['timeout']:g} seconds a problem" if asked["timeout"] else "the limits of instances.csv"
    semantics = "the network in real numbers, up to float rounding"
    facts = (("Time limit", limit), ("Engine", asked["engine"]), ("A proof is about", semantics))
    columns = ("network", "property", "result", "seconds", "engine", "expected", "judged")
    cells = tuple(
        (r["onnx"], r["vnnlib"], r["result"], f"{r['seconds']:.2f}", r["engine"], r["expected"], judged(r)) for r in rows
    )
    words = "Problems sorted by the time that each took; further right and lower is better."
    figures = (Figure("Problems decided within a time", cactus(rows), words),) if rows else ()
    tables = (Table("Problem by problem", columns, cells),)
    return Section(run.path.name, "vnncomp", lead, facts, headlines, figures, tables=tables, data=told)
