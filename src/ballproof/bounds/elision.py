"""Queries answered from intervals: pulled back through the last affine nodes, then taken on boxes (elision)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ballproof.bounds.backward import on_box
from ballproof.graph import Graph
from ballproof.operations import Affine
from ballproof.problems.region import Region
from ballproof.values import Interval


def elided(
    graph: Graph, region: Region, rows: Tensor, intervals: Mapping[str, Interval], constants: Mapping[str, Tensor]
) -> Tensor:
    """Proven lower values of `rows · output`, rows `(batch or 1, query, *output)`; `(batch, query)`. Differentiable.

    Sound for any intervals that enclose their nodes; tighter than the interval of the output because the queries meet the last
    affine layers before anything is rounded to a box.
    """
    offset: Tensor | float = 0.0
    pending, met = {graph.output: rows}, list[tuple[Tensor, Interval]]()
    for node in reversed(graph.varying):
        coming = pending.pop(node.name, None)
        if coming is None:
            continue
        if not isinstance(node.operation, Affine):
            met.append((coming, intervals[node.name]))
            continue
        parts, added = node.operation.pull_queries(coming, graph.arguments(node, constants), graph.shapes(node))
        offset = added + offset
        for parent, own in zip(node.inputs, parts, strict=True):
            if own is not None:
                pending[parent] = pending[parent] + own if parent in pending else own
    for coming, box in met:
        offset = on_box(coming, box, offset)
    if graph.input in pending:
        offset = region.minimum(pending[graph.input]) + offset
    found = offset if isinstance(offset, Tensor) else rows.new_zeros(1, rows.shape[1])
    return found.expand(region.batch, -1)
