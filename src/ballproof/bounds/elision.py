"""Queries answered from intervals: pulled back through the last affine nodes, then taken on boxes (elision)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ballproof.bounds.backward import on_box
from ballproof.graph import Graph
from ballproof.graph.pulled import pulled
from ballproof.problems.region import Region
from ballproof.values import Interval


def elided(
    graph: Graph, region: Region, rows: Tensor, intervals: Mapping[str, Interval], constants: Mapping[str, Tensor]
) -> Tensor:
    """Proven lower values of `rows · output`, rows `(batch or 1, query, *output)`; `(batch, query)`. Differentiable.

    Sound for any intervals that enclose their nodes; tighter than the interval of the output because the queries meet the last
    affine layers before anything is rounded to a box.
    """
    met, offset = pulled(graph, rows, constants)
    for name, coming in met.items():
        offset = region.minimum(coming) + offset if name == graph.input else on_box(coming, intervals[name], offset)
    found = offset if isinstance(offset, Tensor) else rows.new_zeros(1, rows.shape[1])
    return found.expand(region.batch, -1)
