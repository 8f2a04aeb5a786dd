"""Queries pulled back through the last affine nodes, to where the network last bends."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.operations import Affine


def pulled(graph: Graph, rows: Tensor, constants: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | float]:
    """`rows · output` as rows on the nonlinear nodes (and the input) that affine nodes alone lead to, and an offset.

    rows: `(batch or 1, query, *output)`. Returns `(batch or 1, query, *node)` by node, from the output on, the input last.
    """
    offset: Tensor | float = 0.0
    pending, met = {graph.output: rows}, dict[str, Tensor]()
    for node in reversed(graph.varying):
        if not pending:
            break
        coming = pending.pop(node.name, None)
        if coming is None:
            continue
        if not isinstance(node.operation, Affine):
            met[node.name] = coming
            continue
        parts, added = node.operation.pull_queries(coming, graph.arguments(node, constants), graph.shapes(node))
        offset = added + offset
        for parent, own in zip(node.inputs, parts, strict=True):
            if own is not None:
                pending[parent] = pending[parent] + own if parent in pending else own
    return met | pending, offset
