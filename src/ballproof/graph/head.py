"""The last layers of a snapshot as the margins of every label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.pulled import pulled
from ballproof.operations import Affine

MOST_NUMBERS = 2**21
"""That are kept for the margins of all labels: 8 MiB in float32."""


@dataclass(frozen=True)
class Head:
    """The logit of a label minus each other one, in order, from the ends of the one node at which the network last bends.

    on_ends: `(classes, classes - 1, 2 * numbers of the node)`, what multiplies the lower ends, then the upper ones. offset:
    `(classes, classes - 1, 1)`.
    """

    start: str
    on_ends: Tensor
    offset: Tensor

    @staticmethod
    def of(graph: Graph, constants: Mapping[str, Tensor]) -> Head | None:
        """None where the margins meet several nodes or the input, or are of too many numbers."""
        last = next((n for n in reversed(graph.varying) if not isinstance(n.operation, Affine)), None)
        if last is None or graph.weighed is None or len(graph.output_shape) != 1:
            return None
        classes = graph.output_shape[0]
        if classes < 2 or 2 * classes * (classes - 1) * prod(last.shape) > MOST_NUMBERS:
            return None
        own = torch.eye(classes, dtype=graph.weighed.dtype, device=graph.weighed.device)
        differences = (own.unsqueeze(1) - own.unsqueeze(0))[own == 0].reshape(1, -1, classes)
        met, offset = pulled(graph, differences, constants)
        if met.keys() != {last.name}:
            return None
        flat = met[last.name].reshape(classes, classes - 1, -1)
        added = offset if isinstance(offset, Tensor) else flat.new_full((1, flat.shape[:2].numel()), offset)
        return Head(last.name, torch.cat([flat.clamp(min=0), flat.clamp(max=0)], 2), added.reshape(*flat.shape[:2], 1))

    def least(self, ends: Tensor, labels: Tensor) -> Tensor:
        """The least margins of `labels (batch or 1,)`, `(batch, classes - 1)`, for `ends (2, batch, *node)` of the node."""
        batch = ends.shape[1]
        flat = ends.reshape(2, batch, self.on_ends.shape[2] // 2).transpose(0, 1).reshape(batch, self.on_ends.shape[2], 1)
        rows, offset = (t.index_select(0, labels).expand(batch, -1, -1) for t in (self.on_ends, self.offset))
        return torch.baddbmm(offset, rows, flat).squeeze(2)
