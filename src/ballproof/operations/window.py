"""Windows: the part of a map that one query of a convolutional layer can see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Window:
    """For the query at grid cell q, the cells `q * stride - offset` up to `+ size` of a map `(channels, height, width)`.

    The same for every query but for its place; cells outside the map count as zeros.
    """

    channels: int
    size: tuple[int, int]
    stride: tuple[int, int]
    offset: tuple[int, int]

    @staticmethod
    def cell(channels: int) -> Window:
        """One cell of a map for the query at that cell."""
        return Window(channels, (1, 1), (1, 1), (0, 0))

    @property
    def count(self) -> int:
        """Coefficients in a window."""
        return self.channels * self.size[0] * self.size[1]

    def through(self, channels: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Window:
        """The window in the input of a layer with this kernel (its reach, dilation included), stride and padding."""
        size = tuple((n - 1) * s + k for n, s, k in zip(self.size, stride, kernel, strict=True))
        steps = tuple(a * s for a, s in zip(self.stride, stride, strict=True))
        offset = tuple(o * s + p for o, s, p in zip(self.offset, stride, padding, strict=True))
        return Window(channels, size, steps, offset)  # type: ignore[arg-type]

    def cut(self, maps: Tensor, grid: tuple[int, int]) -> Tensor:
        """`maps (batch, channels, height, width)` cut into one window a grid cell, `(batch * cells, count)`."""
        needed = [(g - 1) * s + n for g, s, n in zip(grid, self.stride, self.size, strict=True)]
        after = [max(0, n - o - m) for n, o, m in zip(needed, self.offset, maps.shape[2:], strict=True)]
        padded = F.pad(maps, (self.offset[1], after[1], self.offset[0], after[0]))
        padded = padded[:, :, : needed[0], : needed[1]]
        return F.unfold(padded, self.size, stride=self.stride).transpose(1, 2).flatten(0, 1)

    def inside(self, like: Tensor, shape: tuple[int, int, int], grid: tuple[int, int]) -> Tensor | None:
        """1 for the coefficients inside the map, `(cells, count)`; None if no window leaves it."""
        ends = [(g - 1) * s - o + n for g, s, o, n in zip(grid, self.stride, self.offset, self.size, strict=True)]
        if max(self.offset) <= 0 and all(e <= m for e, m in zip(ends, shape[1:], strict=True)):
            return None
        return self.cut(torch.ones((1, *shape), dtype=like.dtype, device=like.device), grid)
