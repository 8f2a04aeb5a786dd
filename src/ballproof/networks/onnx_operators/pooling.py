"""Pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.onnx_operators.paddings import along, paddings
from ballproof.networks.onnx_operators.site import Array, Shape, Site, Value
from ballproof.networks.onnx_operators.table import translates
from ballproof.operations.adaptive_average_pool import AdaptiveAveragePool
from ballproof.operations.arithmetic import Divide
from ballproof.operations.average_pool import AveragePool
from ballproof.operations.max_pool import MaxPool
from ballproof.operations.pad import Pad

SETTINGS = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class Grid:
    """The windows of one pooling node."""

    sizes: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    after: Shape
    ceil: bool

    @staticmethod
    def of(site: Site) -> Grid:
        sizes, kernel = site.shape(0)[2:], tuple(int(k) for k in site.attribute("kernel_shape", ()))
        if not 1 <= len(kernel) <= 3 or len(kernel) != len(sizes):
            raise UnsupportedError(f"a kernel {kernel} on {site.shape(0)}; supported: one to three spatial axes")
        stride, dilation = along(site, "strides", kernel), along(site, "dilations", kernel)
        before, after = paddings(site, kernel, stride, dilation)
        return Grid(sizes, kernel, stride, dilation, before, after, site.flag("ceil_mode"))

    @property
    def plain(self) -> bool:
        """Whether the operations know this padding: even, and at most half the kernel."""
        return self.before == self.after and all(p <= k // 2 for p, k in zip(self.before, self.kernel, strict=True))

    @property
    def counts(self) -> Shape:
        """How many windows an axis has; one that would start behind the padded input is left out."""
        return tuple(self._count(i) for i in range(len(self.kernel)))

    def _count(self, i: int) -> int:
        n, s, before = self.sizes[i], self.stride[i], self.before[i]
        room = n + before + self.after[i] - (self.kernel[i] - 1) * self.dilation[i] - 1
        if room < 0:
            raise InputError(f"a kernel {self.kernel} larger than the padded input {self.sizes}")
        if not self.ceil:
            return room // s + 1
        count = -(-room // s) + 1
        return count - 1 if (count - 1) * s >= n + before else count

    def widths(self) -> tuple[tuple[int, int], ...]:
        """The padding with which all windows lie inside and none is added, for every axis but the batch."""
        ends = zip(self.sizes, self.counts, self.kernel, self.stride, self.before, strict=True)
        return ((0, 0), *((b, max(0, (c - 1) * s + k - n - b)) for n, c, k, s, b in ends))

    def cells(self, padding_counts: bool) -> Array:
        """The number of cells of each window that count, `(1, *windows)`."""
        found = np.ones((1,) * (len(self.kernel) + 1))
        for i, count in enumerate(self.counts):
            start = np.arange(count) * self.stride[i]
            low = 0 if padding_counts else self.before[i]
            high = self.before[i] + self.sizes[i] + (self.after[i] if padding_counts else 0)
            own = np.minimum(start + self.kernel[i], high) - np.maximum(start, low)
            found = found * own.reshape([-1 if j == i + 1 else 1 for j in range(found.ndim)])
        return found


@translates("AveragePool", settings=(*SETTINGS, "count_include_pad"))
def average_pool(site: Site) -> Value:
    """Windows with a padding that the operation does not know are summed, and divided by what counts in each."""
    site = site.layered()
    grid, include = Grid.of(site), site.flag("count_include_pad")
    if set(grid.dilation) != {1}:
        raise UnsupportedError(f"dilations {grid.dilation}; supported: 1")
    if grid.plain:
        include = include or (not any(grid.before) and not grid.ceil)
        return site.made(AveragePool(grid.kernel, grid.stride, grid.before, grid.ceil, include), site.name(0))
    cells, none = grid.cells(include), (0,) * len(grid.kernel)
    if cells.min() <= 0:
        raise UnsupportedError(f"pads {grid.before}, {grid.after} that fill whole windows; supported: smaller ones")
    padded = site.add(Pad(grid.widths()), site.name(0), part="pad")
    sums = site.add(AveragePool(grid.kernel, grid.stride, none, divisor=1), padded, part="sums")
    return site.made(Divide(), sums, site.tensor(cells.astype(np.float32), f"{site.label}.cells"))


@translates("MaxPool", settings=(*SETTINGS, "storage_order"))
def max_pool(site: Site) -> Value:
    """Where the operation does not know the padding, cells at the edge are repeated: every window that reaches a copy
    without gaps between its cells also holds the cell itself, so no maximum changes.
    """
    site = site.layered()
    grid = Grid.of(site)
    if grid.plain:
        return site.made(MaxPool(grid.kernel, grid.stride, grid.before, grid.dilation, grid.ceil), site.name(0))
    reaches = (max(b, a) < k for b, a, k in zip(grid.before, grid.after, grid.kernel, strict=True))
    if set(grid.dilation) != {1} or not all(reaches):
        told = f"pads {grid.before}, {grid.after} with dilations {grid.dilation}"
        raise UnsupportedError(f"{told}; supported: even and up to half the kernel, or below the kernel without dilation")
    padded = site.add(Pad(grid.widths(), "replicate"), site.name(0), part="pad")
    return site.made(MaxPool(grid.kernel, grid.stride, (0,) * len(grid.kernel), grid.dilation), padded)


@translates("GlobalAveragePool", "GlobalMaxPool")
def global_pool(site: Site) -> Value:
    site = site.layered()
    sizes = site.shape(0)[2:]
    ones, none = (1,) * len(sizes), (0,) * len(sizes)
    if not 1 <= len(sizes) <= 3:
        raise UnsupportedError(f"an input of shape {site.shape(0)}; supported: one to three spatial axes")
    if site.node.op_type == "GlobalAveragePool":
        return site.made(AdaptiveAveragePool(ones), site.name(0))
    return site.made(MaxPool(sizes, sizes, none, ones), site.name(0))
