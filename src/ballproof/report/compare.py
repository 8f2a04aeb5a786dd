"""Several runs side by side, and whether they answer the same question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ballproof.report.charts import curves_chart
from ballproof.report.section import Figure, Section, Table
from ballproof.runs import Run

ASKED = ("data", "split", "n", "eps", "norm", "clip", "attack_steps", "rigorous")
"""Settings that make two figures comparable; all but `n` and `attack_steps` change the question itself."""


@dataclass(frozen=True)
class Compared:
    """Tables with a column a run, pictures of all runs in one, and where the runs differ in what was asked."""

    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    doubts: tuple[str, ...]


def compared(runs: list[Run], sections: list[Section]) -> Compared | None:
    """The runs of each command side by side; None where no command was run twice."""
    tables, figures, doubts = [], [], []
    for command in dict.fromkeys(s.command for s in sections):
        own = [(r, s) for r, s in zip(runs, sections, strict=True) if s.command == command and s.headlines]
        if len(own) < 2:
            continue
        tables.append(_table(command, [s for _, s in own]))
        doubts += _doubts(command, [r for r, _ in own])
        if command == "certify":
            figures.append(_curves([s for _, s in own]))
    return Compared(tuple(tables), tuple(f for f in figures if f), tuple(doubts)) if tables else None


def _table(command: str, sections: list[Section]) -> Table:
    names = list(dict.fromkeys(h.name for s in sections for h in s.headlines))
    told = [{h.name: h.told for h in s.headlines} for s in sections]
    rows = tuple((name, *(t.get(name, "") for t in told)) for name in names)
    return Table(f"Runs of {command}, side by side", ("number", *(s.name for s in sections)), rows)


def _doubts(command: str, runs: list[Run]) -> list[str]:
    found = []
    for key in ASKED:
        values = [run.config["settings"].get(key) for run in runs]
        if any(v != values[0] for v in values):
            told = ", ".join(f"{v} ({run.path.name})" for run, v in zip(runs, values, strict=True))
            found.append(f"the runs of {command} differ in {key}: {told}.")
    return found


def _curves(sections: list[Section]) -> Figure | None:
    curves: dict[str, list[dict[str, Any]]] = {s.name: s.data["totals"].get("curve", []) for s in sections if s.data}
    curves = {name: curve for name, curve in curves.items() if curve}
    if len(curves) < 2:
        return None
    words = "Solid: certified, a lower bound. Dashed: attacked, an upper bound, where it was measured."
    return Figure("Accuracy against eps, all runs", curves_chart(curves), words)
