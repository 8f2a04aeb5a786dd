"""The section and the charts of radii: which share of the examples is robust up to which eps, and how it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballproof.evaluate.rows import ROWS
from ballproof.report.figures import figure, svg
from ballproof.report.section import Figure, Headline, Kind, Section, Table, unit
from ballproof.report.times import time_figures, time_headline
from ballproof.runs import TOTALS, Run


def radius_chart(rows: Sequence[dict[str, Any]], largest: float, norm: str) -> str:
    """An `<svg>` element: the share certified at each eps, the share not broken there, and between them what is not known."""
    fig, axes = figure(4.6, 2.8)
    attacked = [largest if r["attacked"] is None else r["attacked"] for r in rows]
    for ends, color, name in (
        (attacked, "#c05621", "attacked (upper bound)"),
        ([r["certified"] for r in rows], "#2b6cb0", "certified (lower bound)"),
    ):
        axes.step(*stairs(ends, len(rows)), where="post", color=color, label=name)
    axes.set(xlabel=f"eps of the {norm} ball ({unit(norm)})", ylabel="examples, %", ylim=(0, 101), xlim=(0, None))
    axes.legend(fontsize=7, loc="upper right")
    return svg(fig)


def smoothed_chart(rows: Sequence[dict[str, Any]], norm: str) -> str:
    """An `<svg>` element: the share of examples that are right with a radius above each; wrong and abstained have none."""
    fig, axes = figure(4.6, 2.8)
    axes.step(*stairs([r["radius"] for r in rows if r["certified"]], len(rows)), where="post", color="#6b46c1")
    label = f"radius of the {norm} ball ({unit(norm)})"
    axes.set(xlabel=label, ylabel="right with that radius, %", ylim=(0, 101), xlim=(0, None))
    return svg(fig)


def stairs(radii: list[float], count: int) -> tuple[list[float], list[float]]:
    """Places in order, and the percentage of `count` examples with a larger radius, from each place on to the next."""
    return [0.0, *sorted(radii)], [100 * (len(radii) - i) / max(1, count) for i in range(len(radii) + 1)]


def radii(run: Run) -> Section:
    asked = run.config["settings"]
    lead = f"How far is each of {asked['n']} examples of {asked['data']} ({asked['split']}) robust, and how near is it broken?"
    if not run.has(TOTALS):
        return Section(run.path.name, "radius", lead + " Not finished.")
    totals, rows = run.read_json(TOTALS), run.rows(ROWS)
    norm, largest = totals["norm"], totals["largest"]
    facts = (
        ("Network", str(asked["model"])),
        (
            "Radii",
            f"of {norm} balls in {unit(norm)}, up to {largest:g}, {'cut with [0, 1]' if asked['clip'] else 'not cut'}",
        ),
        (
            "Proof by",
            f"{totals['method']}, about the network in real numbers; the rounding of its own arithmetic is not included",
        ),
        ("Attack", f"{totals['attack']}; an example that it did not break counts with {largest:g}"),
    )
    words = "The share of examples proven robust up to each radius, and the share not broken there. The truth lies between."
    columns = ("radius", "mean", "median")
    told = tuple(
        (name, f"{totals[f'{name}_mean']:.5f}", f"{totals[f'{name}_median']:.5f}") for name in ("certified", "attacked")
    )
    chart = Figure("Examples against the radius", radius_chart(rows, largest, norm), words, Table("Radii", columns, told))
    headlines = (*_headlines(totals), time_headline(rows, "for the proofs and the attacks together"))
    return Section(run.path.name, "radius", lead, facts, headlines, (chart, *time_figures(rows)), data={"totals": totals})


def _headlines(totals: dict[str, Any]) -> tuple[Headline, ...]:
    kinds = (
        ("certified", Kind.PROVEN, f"No point nearer than that changes the answer: proven by {totals['method']}."),
        ("attacked", Kind.ATTACKED, f"A point at that distance changes the answer: found by {totals['attack']}."),
    )
    return tuple(
        Headline(f"median {name} radius", f"{totals[f'{name}_median']:.5f}", kind, words, totals[f"{name}_median"])
        for name, kind, words in kinds
    )
