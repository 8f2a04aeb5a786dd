"""Time an example: a headline, and a picture where the times differ."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from ballproof.report.charts import time_chart
from ballproof.report.section import Figure, Headline, Kind, Table

DIFFERENT = 3
"""Examples of a batch share its time equally; from this many times on a picture tells something."""


def time_headline(rows: Sequence[dict[str, Any]], what: str) -> Headline:
    seconds = [r["seconds"] for r in rows] or [0.0]
    mean = sum(seconds) / len(seconds)
    return Headline("time an example", _told(mean), Kind.MEASURED, f"Mean, {what}; {sum(seconds):.1f} s in all.", mean)


def time_figures(rows: Sequence[dict[str, Any]]) -> tuple[Figure, ...]:
    """How many examples were done within how many seconds each; nothing where all took about the same."""
    seconds = sorted(r["seconds"] for r in rows)
    if len(set(seconds)) < DIFFERENT:
        return ()
    told = (("least", seconds[0]), ("median", median(seconds)), ("largest", seconds[-1]))
    table = Table("Time an example", ("example", "time"), tuple((name, _told(s)) for name, s in told))
    words = "Sorted; examples that were worked on as one batch share its time equally."
    return (Figure("Time an example, sorted", time_chart(seconds), words, table),)


def _told(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
