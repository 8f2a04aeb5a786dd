"""Windows: the part of a map that one query of a convolutional layer can see."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """For the query at grid cell q, the cells `q * stride - offset` up to `+ size` of a map `(channels, height, width)`.

    The same for every query but for its place; cells outside the map count as zeros.
    """

    channels: int
    size: Pair
    stride: Pair
    offset: Pair

    @staticmethod
    def cell(channels: int) -> Window:
        """One cell of a map for the query at that cell."""
        return Window(channels, (1, 1), (1, 1), (0, 0))

    @property
    def count(self) -> int:
        """Coefficients in a window."""
        return self.channels * self.size[0] * self.size[1]

    def through(self, channels: int, kernel: Pair, stride: Pair, padding: Pair) -> Window:
        """The window in the input of a layer with this kernel (its reach, dilation included), stride and padding."""
        size = tuple((n - 1) * s + k for n, s, k in zip(self.size, stride, kernel, strict=True))
        steps = tuple(a * s for a, s in zip(self.stride, stride, strict=True))
        offset = tuple(o * s + p for o, s, p in zip(self.offset, stride, padding, strict=True))
        return Window(channels, size, steps, offset)  # type: ignore[arg-type]

    def joined(self, other: Window) -> Window | None:
        """The smallest window that holds both; None if they move at different strides."""
        if self.stride != other.stride or self.channels != other.channels:
            return None
        offset = tuple(max(a, b) for a, b in zip(self.offset, other.offset, strict=True))
        ends = (max(n - o, m - p) for n, o, m, p in zip(self.size, self.offset, other.size, other.offset, strict=True))
        return Window(self.channels, tuple(e + o for e, o in zip(ends, offset, strict=True)), self.stride, offset)  # type: ignore[arg-type]

    def inside(self, outer: Window, cotangent: Tensor) -> Tensor:
        """Coefficients of this window `(..., channels, *size)` as those of a window that holds it."""
        if self == outer:
            return cotangent
        before = [o - p for o, p in zip(outer.offset, self.offset, strict=True)]
        after = [n - b - m for n, b, m in zip(outer.size, before, self.size, strict=True)]
        return F.pad(cotangent, (before[1], after[1], before[0], after[0]))

    def leaves(self, shape: Pair, grid: Pair) -> bool:
        """Whether the window of some cell of the grid leaves a map of this height and width."""
        ends = [(g - 1) * s - o + n for g, s, o, n in zip(grid, self.stride, self.offset, self.size, strict=True)]
        return max(self.offset) > 0 or any(e > m for e, m in zip(ends, shape, strict=True))

    def view(self, maps: Tensor, grid: Pair) -> Tensor:
        """All windows of `maps (batch, channels, height, width)` as a view, `(batch, *grid, *size, channels)`."""
        needed = [(g - 1) * s + n for g, s, n in zip(grid, self.stride, self.size, strict=True)]
        after = [n - o - m for n, o, m in zip(needed, self.offset, maps.shape[2:], strict=True)]
        padded = F.pad(maps, (self.offset[1], after[1], self.offset[0], after[0]))
        ordered = padded.permute(0, 2, 3, 1).contiguous()
        cut = ordered.unfold(1, self.size[0], self.stride[0]).unfold(2, self.size[1], self.stride[1])
        return cut.permute(0, 1, 2, 4, 5, 3)


COPIED = 2**23
"""Windows that overlap are written out up to so many numbers, 32 MiB: a row is then taken six times faster than a cut."""


@dataclass(frozen=True)
class Cuts:
    """The windows of some maps at every cell of a grid, `(batch, *grid, *size, channels)`; `rows` if they are written out."""

    view: Tensor
    rows: Tensor | None

    @staticmethod
    def of(window: Window, maps: Tensor, grid: Pair) -> Cuts:
        view = window.view(maps, grid)
        return Cuts(view, view.flatten(0, 2).flatten(1) if view.numel() <= COPIED else None)

    def at(self, place: Tensor) -> Tensor:
        """Those at some places = example * cells + cell, `(n, channels, *size)`, with the channels last in memory.

        A single map serves all examples.
        """
        batch, height, width, *size = self.view.shape
        if batch == 1:
            place = place % (height * width)
        if self.rows is not None:
            return self.rows.index_select(0, place).reshape(-1, *size).permute(0, 3, 1, 2)
        example, cell = place // (height * width), place % (height * width)
        return self.view[example, cell // width, cell % width].permute(0, 3, 1, 2)
