"""The chart of radii: which share of the examples is robust up to which eps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballproof.report.figures import figure, svg


def radius_chart(rows: Sequence[dict[str, Any]], largest: float, norm: str) -> str:
    """An `<svg>` element: the share certified at each eps, the share not broken there, and between them what is not known."""
    fig, axes = figure(6, 3.6)
    certified = sorted(r["certified"] for r in rows)
    attacked = sorted(largest if r["attacked"] is None else r["attacked"] for r in rows)
    count = max(1, len(rows))
    shares = [100 * (count - i) / count for i in range(len(rows) + 1)]
    for ends, color, name in (
        (attacked, "#c05621", "attacked (upper bound)"),
        (certified, "#2b6cb0", "certified (lower bound)"),
    ):
        axes.step([0.0, *ends], shares, where="pre", color=color, label=name)
    axes.set(xlabel=f"eps of the {norm} ball (units of the data)", ylabel="examples, %", ylim=(0, 101), xlim=(0, None))
    axes.legend(fontsize=7, loc="upper right")
    return svg(fig)
