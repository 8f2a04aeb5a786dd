"""The pictures of the plane."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.demo.plane import RADIUS, PlaneNet, decision, images, outer_polygon
from ballproof.report.figures import figure, svg

BLUE, RED, DARK = "#2b6cb0", "#c05621", "#1a202c"


def draw_points(data: Dataset) -> str:
    """The points and their boxes."""
    fig, axes = figure(4, 4)
    _boxes(axes, data, torch.ones(len(data.labels), dtype=torch.bool))
    return svg(fig)


def draw_regions(module: nn.Module, data: Dataset, proven: Tensor) -> str:
    """Who wins where; boxes that are not proven are outlined thickly."""
    fig, axes = figure(4, 4)
    axis, difference = decision(module)
    axes.contourf(axis, axis, (difference > 0).float(), levels=[-0.5, 0.5, 1.5], colors=["#bee3f8", "#fbd38d"])
    axes.contour(axis, axis, difference, levels=[0.0], colors=DARK, linewidths=0.8)
    _boxes(axes, data, proven)
    return svg(fig)


def _boxes(axes: Any, data: Dataset, proven: Tensor) -> None:
    from matplotlib.patches import Rectangle

    for point, label, safe in zip(data.inputs.tolist(), data.labels.tolist(), proven.tolist(), strict=True):
        corner = (point[0] - RADIUS, point[1] - RADIUS)
        width, color = (1.0, DARK) if safe else (3.0, "#e53e3e")
        axes.add_patch(Rectangle(corner, 2 * RADIUS, 2 * RADIUS, fill=False, linewidth=width, edgecolor=color))
        axes.plot(*point, marker="s" if label else "o", color=RED if label else BLUE, markersize=5)
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")


def draw_polytope(module: nn.Module, data: Dataset, example: int) -> str:
    """What the adversary reaches, and the convex outer bounds round it, in the plane of the two logits."""
    fig, axes = figure(4.6, 4)
    center = data.inputs[example]
    reached = images(module, center, RADIUS)
    axes.scatter(*reached.T, s=2, color="#718096", label="reached by the ball", rasterized=False)
    for method, color in (("lp", BLUE), ("dual", RED)):
        corners = outer_polygon(module, center, RADIUS, method)
        closed = torch.cat([corners, corners[:1]])
        axes.plot(*closed.T, color=color, label=f"outer bound, {method}")
    low, high = axes.get_xlim()
    axes.axline((0, 0), slope=1, color=DARK, linestyle=":", linewidth=1, label="decision boundary")
    axes.set(xlabel="logit of class 0", ylabel="logit of class 1", xlim=(low, high))
    axes.legend(fontsize=7, loc="lower left")
    return svg(fig)


def draw_training(standard: PlaneNet, robust: PlaneNet) -> str:
    """Losses and the share of points without a proof, step by step."""
    fig, axes = figure(7, 3, columns=2)
    for net, name in ((standard, "standard"), (robust, "robust")):
        steps = [10 * (i + 1) for i in range(len(net.clean))]
        line = axes[0].semilogy(steps, net.clean, label=f"{name}: clean loss")[0]
        axes[0].semilogy(steps, net.robust, "--", color=line.get_color(), label=f"{name}: robust loss (dual)")
        axes[1].plot(steps, net.uncertified, color=line.get_color(), label=name)
    axes[0].set(xlabel="step", ylabel="cross-entropy")
    axes[1].set(xlabel="step", ylabel="share not certified (dual)", ylim=(-0.05, 1.05))
    for each in axes:
        each.legend(fontsize=7, loc="best")
    return svg(fig)
