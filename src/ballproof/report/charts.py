"""The charts of training and certification."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ballproof.report.figures import COLORS, figure, svg


def training_chart(log: list[dict[str, Any]]) -> str:
    """Errors and losses by epoch, with the growing radius."""
    fig, axes = figure(7.2, 2.8, columns=2)
    _errors(axes[0], log)
    _loss(axes[1], log)
    return svg(fig)


def errors_chart(log: list[dict[str, Any]]) -> str:
    """Errors by epoch."""
    fig, axes = figure(4.6, 2.8)
    _errors(axes, log)
    return svg(fig)


def loss_chart(log: list[dict[str, Any]]) -> str:
    """Losses by epoch, with the growing radius."""
    fig, axes = figure(4.6, 2.8)
    _loss(axes, log)
    return svg(fig)


def _errors(axes: Any, log: list[dict[str, Any]]) -> None:
    epochs = [row["epoch"] + 1 for row in log]
    for key, name in (("certified_error", "certified"), ("pgd_error", "PGD"), ("clean_error", "clean")):
        axes.plot(epochs, [100 * row[key] for row in log], marker=".", label=f"{name} error")
    axes.set(xlabel="epoch", ylabel="error on held-out examples, %", ylim=(0, None))
    axes.legend(fontsize=7, loc="upper right")


def _loss(axes: Any, log: list[dict[str, Any]]) -> None:
    epochs = [row["epoch"] + 1 for row in log]
    axes.semilogy(epochs, [max(row["loss"], 1e-12) for row in log], marker=".", label="training loss")
    twin = axes.twinx()
    twin.plot(epochs, [row["eps"] for row in log], color="#718096", linestyle=":", label="eps")
    twin.set(ylabel="eps of the training ball", ylim=(0, None))
    twin.grid(visible=False)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(fontsize=7, loc="upper right")


def margin_chart(rows: Sequence[dict[str, Any]]) -> str:
    """How far from failing: the least proven margin of each example; the outermost bars hold what lies beyond them."""
    fig, axes = figure(4.6, 2.8)
    edges = _edges([row["margin"] for row in rows if row["margin"] > -math.inf] or [0.0])
    margins = [min(max(row["margin"], edges[0]), edges[-1]) for row in rows]
    proven = [m for m in margins if m > 0]
    axes.hist([m for m in margins if m <= 0], bins=edges, color="#c05621", label="not proven")
    axes.hist(proven, bins=edges, color="#2b6cb0", label="certified")
    axes.axvline(0, color="#1a202c", linewidth=1)
    axes.set(xlabel="least proven margin (logits)", ylabel="examples")
    axes.legend(fontsize=7, loc="upper left")
    return svg(fig)


def _edges(values: list[float], count: int = 40) -> list[float]:
    """Bin edges with one of them at 0, over the middle 98 %; the rest falls in the outer bins."""
    import numpy as np

    low, high = np.quantile(values, [0.01, 0.99])
    low, high = min(float(low), -1e-6), max(float(high), 1e-6)
    width = (high - low) / count
    return [float(edge) * width for edge in range(int(np.floor(low / width)), int(np.ceil(high / width)) + 1)]


def curve_chart(curve: list[dict[str, Any]], eps: float) -> str:
    """Accuracy against the radius: what is proven, what stood the attack; the truth lies between them."""
    fig, axes = figure(4.6, 2.8)
    radii = [point["eps"] for point in curve]
    measured = all(point["attacked_accuracy"] is not None for point in curve)
    certified = [100 * point["certified_accuracy"] for point in curve]
    upper = [100 * point["attacked_accuracy" if measured else "clean_accuracy"] for point in curve]
    axes.fill_between(radii, certified, upper, color="#e2e8f0", label="unknown: the truth is here")
    axes.plot(
        radii, upper, marker=".", label="attacked (upper bound)" if measured else "clean: nothing attacked", color="#c05621"
    )
    axes.plot(radii, certified, marker=".", label="certified (lower bound)", color="#2b6cb0")
    axes.axvline(eps, color="#1a202c", linestyle=":", linewidth=1)
    axes.set(xlabel="eps (units of the data)", ylabel="accuracy, %", ylim=(0, 101))
    axes.legend(fontsize=7, loc="lower left")
    return svg(fig)


def curves_chart(curves: dict[str, list[dict[str, Any]]]) -> str:
    """Accuracy against the radius of several runs: certified solid, attacked dashed."""
    fig, axes = figure(4.6, 2.8)
    for number, (name, curve) in enumerate(curves.items()):
        color, radii = COLORS[number % len(COLORS)], [point["eps"] for point in curve]
        axes.plot(radii, [100 * p["certified_accuracy"] for p in curve], marker=".", color=color, label=plain(name))
        attacked = [(p["eps"], 100 * p["attacked_accuracy"]) for p in curve if p["attacked_accuracy"] is not None]
        axes.plot(*zip(*attacked, strict=True), linestyle="--", color=color) if attacked else None
    axes.set(xlabel="eps (units of the data)", ylabel="accuracy, %", ylim=(0, 101))
    axes.legend(fontsize=7, loc="lower left")
    return svg(fig)


def time_chart(seconds: list[float]) -> str:
    """How many examples took at most so long each."""
    fig, axes = figure(4.6, 2.8)
    axes.step(range(1, len(seconds) + 1), sorted(seconds), where="pre")
    axes.set_yscale("log")
    axes.set(xlabel="examples", ylabel="seconds each, at most")
    return svg(fig)


def layer_chart(layers: list[dict[str, Any]], methods: list[str]) -> str:
    """Width of the proven intervals in units of the sampled range, layer by layer."""
    fig, axes = figure(4.6, 2.8)
    for number, method in enumerate(methods):
        widths = [row["width"][method] / max(row["sampled"], 1e-12) for row in layers]
        axes.semilogy(range(1, len(layers) + 1), widths, marker="os^"[number % 3], label=method)
    axes.axhline(1, color="#1a202c", linewidth=1, linestyle=":")
    axes.set_xticks(range(1, len(layers) + 1), [plain(row["layer"]) for row in layers], rotation=30, ha="right", fontsize=7)
    axes.set(ylabel="proven / sampled width")
    axes.legend(fontsize=7, loc="upper left")
    return svg(fig)


def plain(name: str) -> str:
    """A name as a label: matplotlib would read dollar signs as formulas, and hides what begins with an underscore."""
    return name.replace("$", r"\$").lstrip("_")[:40]
