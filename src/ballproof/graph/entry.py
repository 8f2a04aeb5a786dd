"""The first layer of a snapshot on balls of one radius: what |W| makes of the radius is a multiple of what it makes of 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.graph.node import Node
from ballproof.operations.linear import Linear
from ballproof.operations.reshape import Reshape


@dataclass(frozen=True)
class Entry:
    """A fully connected layer that alone meets the input, as it is or in another shape.

    count: the computed nodes up to it. unit: the radius of its values where every coordinate of the input may move by 1.
    """

    node: Node
    count: int
    shape: tuple[int, ...]
    constants: tuple[Tensor, ...]
    unit: Tensor

    @staticmethod
    def of(nodes: Sequence[Node], start: str, shape: tuple[int, ...], constants: Mapping[str, Tensor]) -> Entry | None:
        """That of a network with these computed nodes, in order, and an input of this name and shape."""
        for count, node in enumerate(nodes, 1):
            if [n for n in nodes if start in n.inputs] != [node]:
                return None
            if isinstance(node.operation, Linear):
                given = tuple(constants[i] for i in node.inputs[1:])
                unit = node.operation.forward(given[0].new_ones(1, *shape), given[0].abs())
                return Entry(node, count, shape, given, unit)
            if not isinstance(node.operation, Reshape):
                return None
            start, shape = node.name, node.shape
        return None

    def ends(self, center: Tensor, radius: Tensor) -> Tensor:
        """The ends of its values, `(2, batch, *node)`, for `center (batch, *input)` and a radius for each example, or one."""
        assert self.node.operation is not None
        middle = self.node.operation.forward(center.reshape(-1, *self.shape), *self.constants)
        reach = radius.reshape(-1, *(1 for _ in middle.shape[1:])) * self.unit
        return torch.stack([middle - reach, middle + reach])
