"""The reader of modules as `composed` sees it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.networks.aten.site import Site
from ballproof.operations import Operation


@dataclass(frozen=True)
class AtenSketch:
    """Adds nodes at one ATen call."""

    site: Site

    def node(self, operation: Operation, *inputs: str, part: str = "") -> str:
        return self.site.add(operation, *inputs, part=part)

    def number(self, value: float) -> str:
        return self.site.scalar(value, "number")

    def depends(self, name: str) -> bool:
        return self.site.varies(name)

    def sizes(self, name: str) -> tuple[int, ...]:
        return self.site.shape(name)

    def index(self, value: list[int], part: str) -> str:
        return self.site.index(torch.tensor(value), part)

    def matrix(self, value: Tensor, part: str) -> str:
        like = self.site.like
        return self.site.builder.constant(value.to(dtype=like.dtype, device=like.device), f"{self.site.label}.{part}")
