"""How tight the bounds are, layer by layer."""

from __future__ import annotations

from typing import Any

from ballproof.report.charts import layer_chart
from ballproof.report.section import Figure, Table

WORDS = (
    "Before each nonlinear layer: the mean width of the proven intervals, relative to the range that sampled points of the "
    "ball reach (1 would be exact; the true range is at least the sampled one). Undecided: the share of neurons whose proven "
    "interval holds a kink of the activation, where a relaxation loses. A method asks only where cheaper intervals leave a "
    "neuron undecided."
)


def layer_figure(layers: list[dict[str, Any]]) -> tuple[Figure, ...]:
    """layers: as `evaluate.tightness` gives them."""
    if not layers:
        return ()
    methods = list(layers[0]["width"])
    columns = ("layer", "neurons", "sampled width", *(f"{m}: width" for m in methods), *(f"{m}: undecided" for m in methods))
    rows = tuple(
        (
            row["layer"],
            str(row["neurons"]),
            f"{row['sampled']:.4g}",
            *(f"{row['width'][m]:.4g}" for m in methods),
            *("" if row["undecided"][m] is None else f"{100 * row['undecided'][m]:.1f} %" for m in methods),
        )
        for row in layers
    )
    words = f"{WORDS} On {layers[0]['examples']} examples."
    title = "Bound tightness by layer"
    return (Figure(title, layer_chart(layers, methods), words, Table(title, columns, rows)),)
