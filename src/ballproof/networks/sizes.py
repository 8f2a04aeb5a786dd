"""`Sizes`: which axis of an exported tensor is the batch. Everything else must be a fixed number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Shape

if TYPE_CHECKING:
    from torch.fx import Node as Fx


@dataclass(frozen=True)
class Symbol:
    """A number that depends on the batch size or on the data. `batch` tells whether it is the batch size itself."""

    text: str
    batch: bool

    def __repr__(self) -> str:
        return "the batch size" if self.batch else f"a number that is only known at run time ({self.text})"


class Sizes:
    """Made from the exported input, whose axis 0 is the batch."""

    def __init__(self, exported_input: Tensor) -> None:
        self.batch = str(exported_input.shape[0])

    def is_number(self, node: Fx) -> bool:
        """The call computes a size, not a tensor."""
        return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool | int | float)

    def number(self, node: Fx) -> object:
        value = node.meta["val"]
        return value if isinstance(value, int | float) else Symbol(str(value), str(value) == self.batch)

    def has_batch(self, value: Tensor) -> bool:
        """Axis 0 is the batch, and no other size is symbolic."""
        return value.ndim > 0 and str(value.shape[0]) == self.batch and all(type(s) is int for s in value.shape[1:])

    def per_example(self, value: Tensor) -> Shape:
        """The shape without the batch axis, which must be axis 0."""
        if not self.has_batch(value):
            shape = str(tuple(value.shape)).replace(self.batch, "batch")
            supported = "(batch, ...), axis 0 the batch, each example by itself"
            raise UnsupportedError(f"gives the shape {shape}; supported: {supported}")
        return tuple(int(s) for s in value.shape[1:])
