"""The cactus plot of a benchmark: how many problems are decided within how many seconds each."""

from __future__ import annotations

from typing import Any

from ballproof.report.figures import figure, svg


def cactus(rows: list[dict[str, Any]]) -> str:
    """An `<svg>` element. rows: as `run_benchmark` gives them."""
    fig, axes = figure(6, 3.6)
    for result in ("unsat", "sat"):
        times = sorted(r["seconds"] for r in rows if r["result"] == result)
        axes.step([0, *range(1, len(times) + 1)], [0, *times], where="pre", label=f"{result} ({len(times)})")
    both = sorted(r["seconds"] for r in rows if r["result"] in ("sat", "unsat"))
    axes.step([0, *range(1, len(both) + 1)], [0, *both], where="pre", label=f"decided ({len(both)} of {len(rows)})")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("problems")
    axes.set_ylabel("seconds each, at most")
    axes.legend()
    return svg(fig)
