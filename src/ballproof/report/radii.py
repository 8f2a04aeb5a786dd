"""Charts of radii: which share of the examples is robust up to which eps, proven or with a stated probability."""

from __future__ import annotations

from typing import Any

from ballproof.report.figures import figure, svg


def radius_chart(rows: list[dict[str, Any]], largest: float, norm: str) -> str:
    """An `<svg>` element: the share certified at each eps, the share not broken there, and between them what is not known."""
    fig, axes = figure(6, 3.6)
    attacked = [largest if r["attacked"] is None else r["attacked"] for r in rows]
    for radii, color, name in (
        (attacked, "#c05621", "attacked (upper bound)"),
        ([r["certified"] for r in rows], "#2b6cb0", "certified (lower bound)"),
    ):
        axes.step(*stairs(radii, len(rows)), where="post", color=color, label=name)
    axes.set(xlabel=f"eps of the {norm} ball ({unit(norm)})", ylabel="examples, %", ylim=(0, 101), xlim=(0, None))
    axes.legend(fontsize=7, loc="upper right")
    return svg(fig)


def smoothed_chart(rows: list[dict[str, Any]], norm: str) -> str:
    """An `<svg>` element: the share of examples that are right with a radius above each; wrong and abstained have none."""
    fig, axes = figure(6, 3.2)
    axes.step(*stairs([r["radius"] for r in rows if r["certified"]], len(rows)), where="post")
    axes.set(
        xlabel=f"radius of the {norm} ball ({unit(norm)})", ylabel="right with that radius, %", ylim=(0, 101), xlim=(0, None)
    )
    return svg(fig)


def stairs(radii: list[float], count: int) -> tuple[list[float], list[float]]:
    """Places in order, and the percentage of `count` examples with a larger radius, from each place on to the next."""
    return [0.0, *sorted(radii)], [100 * (len(radii) - i) / max(1, count) for i in range(len(radii) + 1)]


def unit(norm: str) -> str:
    """The unit of a radius."""
    return "pixels" if norm == "l0" else "units of the data"
