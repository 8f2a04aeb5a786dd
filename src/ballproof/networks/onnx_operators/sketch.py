"""The reader of files as `composed` sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ballproof.networks.onnx_operators.site import Site
from ballproof.operations import Operation


@dataclass(frozen=True)
class OnnxSketch:
    """Adds nodes at one node of a file. Numbers are rounded to float32, the type of a file's attributes."""

    site: Site

    def node(self, operation: Operation, *inputs: str, part: str = "") -> str:
        return self.site.add(operation, *inputs, part=part)

    def number(self, value: float) -> str:
        return self.site.tensor(np.asarray(value, np.float32), f"{self.site.label}.number")

    def depends(self, name: str) -> bool:
        return self.site.builder.nodes[name].varies

    def sizes(self, name: str) -> tuple[int, ...]:
        return self.site.builder.shape(name)

    def index(self, value: list[int], part: str) -> str:
        return self.site.tensor(np.asarray(value, np.int64), f"{self.site.label}.{part}")

    def matrix(self, value: Tensor, part: str) -> str:
        """Rounded to the network's type."""
        return self.site.builder.constant(value.to(self.site.dtype), f"{self.site.label}.{part}")
