"""Figures as SVG text that can stand inside a page. No display, no global state of matplotlib."""

from __future__ import annotations

import hashlib
import re
from io import StringIO
from typing import Any

STYLE: dict[str, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#4a5568",
    "axes.labelcolor": "#1a202c",
    "text.color": "#1a202c",
    "xtick.color": "#1a202c",
    "ytick.color": "#1a202c",
    "svg.fonttype": "path",
    "svg.hashsalt": "ballproof",
    "figure.facecolor": "white",
}

COLORS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#718096")

VARIABLES = {
    "#1a202c": "--ink",
    "#4a5568": "--soft",
    "#e2e8f0": "--line",
    "#ffffff": "--paper",
    "#2b6cb0": "--blue",
    "#c05621": "--orange",
    "#2f855a": "--green",
    "#6b46c1": "--violet",
    "#718096": "--grey",
}
"""The colours of charts, and the page's names of them, which are others in the dark."""


def style() -> dict[str, Any]:
    """The settings of matplotlib under which every figure is made."""
    from cycler import cycler

    return STYLE | {"axes.prop_cycle": cycler(color=COLORS)}


def figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure in inches and its axes (one, or a list of `columns`)."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(rc=style()):  # type: ignore[arg-type]
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(fig)
        axes = fig.subplots(1, columns)
    return fig, axes if columns == 1 else list(axes)


def svg(fig: Any) -> str:
    """The figure as an `<svg>` element; ids are made unique so that many can stand on one page."""
    import matplotlib as mpl

    buffer = StringIO()
    with mpl.rc_context(rc=style()):  # type: ignore[arg-type]
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    return _unique(text[text.index("<svg") :])


def themed(text: str) -> str:
    """An `<svg>` element whose colours are the page's own, so that it follows light and dark."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda m: f"var({VARIABLES[m[0]]})" if m[0] in VARIABLES else m[0], text)


def _unique(text: str) -> str:
    """Prefix every id and every reference to one: two figures of one page must not share ids."""
    tag = "f" + hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{tag}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{tag}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{tag}-\1)", text)
