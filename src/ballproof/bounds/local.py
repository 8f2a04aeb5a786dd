"""The dual network of a convolutional layer, window by window: what a query cannot see is never touched.

A neuron of a convolution depends on a small window of every map before it. Its cotangent is kept as that window, and
an affine layer pulls all windows back by one matrix that does not depend on their place. For WK-small on 28 x 28 pixels a
query of the second layer holds 256 numbers where the dense walk holds 3,136.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ballproof.bounds.backward import matters
from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.window import Window
from ballproof.values import Interval, Relaxation


@dataclass(frozen=True)
class LocalPath:
    """The single path from a map of the network back to its input, with the window that a query sees at every step."""

    nodes: tuple[Node, ...]
    windows: tuple[Window, ...]
    grid: tuple[int, int]

    @property
    def cells(self) -> int:
        """Cells of the map that is queried."""
        return self.grid[0] * self.grid[1]

    @property
    def widest(self) -> int:
        return max(w.count for w in self.windows)


def local_path(graph: Graph, name: str) -> LocalPath | None:
    """The path from the node `name`, or None where there is none that stays smaller than the maps it crosses."""
    node = graph.node[name]
    if len(node.shape) != 3 or len(graph.input_shape) != 3:
        return None
    path, windows = [], [Window.cell(node.shape[0])]
    while node.operation is not None:
        varying = [i for i in node.inputs if graph.node[i].varies]
        following = _following(node, graph, windows[-1], varying)
        if following is None:
            return None
        path.append(node)
        windows.append(following)
        node = graph.node[varying[0]]
    whole = max(torch.Size(n.shape).numel() for n in path)
    if max(w.count for w in windows) * 2 > whole:
        return None
    return LocalPath(tuple(path), tuple(windows), graph.node[name].shape[1:])  # type: ignore[arg-type]


def _following(node: Node, graph: Graph, window: Window, varying: list[str]) -> Window | None:
    if len(varying) != 1 or node.operation is None:
        return None
    before = graph.node[varying[0]].shape
    if isinstance(node.operation, Nonlinear):
        return window if node.operation.coordinatewise and before == node.shape else None
    assert isinstance(node.operation, Affine)
    if node.operation.coordinatewise and before != node.shape:
        return None
    return node.operation.window(window, graph.shapes(node))


class LocalBackward:
    """Proven ends of queried neurons of one map over a box, by windows. Equal to `Backward` up to rounding.

    Cotangents are `(places, queries, window)`: a place is a cell of the map of one example, its queries are channels.
    """

    def __init__(
        self,
        graph: Graph,
        path: LocalPath,
        box: Interval,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
    ) -> None:
        self.path, self.box, self.relaxations = path, box, relaxations
        self.arguments = [graph.arguments(n, constants) for n in path.nodes]
        self.shapes = [graph.shapes(n) for n in path.nodes]
        self._kept: dict[tuple[str, int], Tensor] = {}

    def __call__(self, place: Tensor, channel: Tensor) -> Interval:
        """Ends of the neurons at `place (places,)` = example * cells + cell, `channel (places, queries)`."""
        self.place, self.cell = place, place % self.path.cells
        lower = one_hot(channel, self.path.windows[0].count).to(self.box.lower.dtype)
        upper = lower
        low = up = lower.new_zeros(channel.shape)
        for i, node in enumerate(self.path.nodes):
            if isinstance(node.operation, Affine):
                low, up = low + self._constant(i, lower), up + self._constant(i, upper)
                lower, upper = _twice(lower, upper, partial(self._pull, i, node.operation))
            else:
                change = self._offsets(i, node, lower, upper)
                low, up = low + change[0], up + change[1]
                lower, upper = self._bend(i, node, lower, upper)
        return self._concretise(low, up, lower, upper)

    def _pull(self, i: int, operation: Affine, cotangent: Tensor) -> Tensor:
        pulled = cotangent @ self._keep("matrix", i, lambda: operation.window_matrix(self.path.windows[i], self.arguments[i]))
        following = self.path.nodes[i + 1 : i + 2]
        if not following or not isinstance(following[0].operation, Affine):
            return pulled  # what lies outside the map meets slopes and inputs that are zero there
        mask = self.path.windows[i + 1].inside(cotangent, self.shapes[i][0], self.path.grid)  # type: ignore[arg-type]
        return pulled if mask is None else pulled * mask[self.cell].unsqueeze(1)

    def _constant(self, i: int, cotangent: Tensor) -> Tensor | float:
        operation = self.path.nodes[i].operation
        assert isinstance(operation, Affine)
        constant = operation.constant_term(self.arguments[i], self.shapes[i])
        if constant is None:
            return 0.0
        constant = constant.to(cotangent)
        if constant.stride()[-2:] == (0, 0):  # a bias for each channel; outside the map the cotangent is zero
            size = self.path.windows[i].size
            return cotangent @ constant[0, :, 0, 0].repeat_interleave(size[0] * size[1])
        cut = self._keep("constant", i, lambda: self.path.windows[i].cut(constant, self.path.grid))
        return (cotangent @ cut[self.cell].unsqueeze(2)).squeeze(2)

    def _keep(self, what: str, i: int, make: Callable[[], Tensor]) -> Tensor:
        if (what, i) not in self._kept:
            self._kept[what, i] = make()
        return self._kept[what, i]

    def _cut(self, what: str, i: int, maps: Tensor) -> Tensor:
        """The windows of `maps (batch, *node)` at the places, `(places, window)`."""
        cut = self._keep(what, i, lambda: self.path.windows[i].cut(maps, self.path.grid))
        return cut.index_select(0, self.place)

    def _offsets(self, i: int, node: Node, lower: Tensor, upper: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """What the offsets of the two lines add to the lower and to the upper end."""
        relaxation = self.relaxations[node.name]
        low: Tensor | float = 0.0
        up: Tensor | float = 0.0
        for what, offset, raises in (("under", relaxation.lower.offset, True), ("over", relaxation.upper.offset, False)):
            if not matters(offset):
                continue
            cut = self._cut(what, i, offset).unsqueeze(2)
            low = low + _half(lower, raises, cut)
            up = up + _half(upper, not raises, cut)
        return low, up

    def _bend(self, i: int, node: Node, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        relaxation = self.relaxations[node.name]
        below = self._cut("below", i, relaxation.lower.slopes[0]).unsqueeze(1)
        if relaxation.parallel and upper is lower:
            bent = lower * below
            return bent, bent
        above = self._cut("above", i, relaxation.upper.slopes[0]).unsqueeze(1)
        return lower * torch.where(lower >= 0, below, above), upper * torch.where(upper >= 0, above, below)

    def _concretise(self, low: Tensor, up: Tensor, lower: Tensor, upper: Tensor) -> Interval:
        last = len(self.path.nodes)
        center = self._cut("center", last, self.box.center).unsqueeze(2)
        radius = self._cut("radius", last, self.box.radius).unsqueeze(2)
        middle, reach = _twice(lower, upper, lambda c: c @ center), _twice(lower, upper, lambda c: c.abs() @ radius)
        return Interval(low + (middle[0] - reach[0]).squeeze(2), up + (middle[1] + reach[1]).squeeze(2))


def _twice(lower: Tensor, upper: Tensor, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The same change of both cotangents, done once while they are one."""
    first = change(lower)
    return first, first if upper is lower else change(upper)


def _half(cotangent: Tensor, positive: bool, offset: Tensor) -> Tensor:
    """The positive (or negative) part of the cotangent times the offset."""
    part = cotangent.clamp(min=0) if positive else cotangent.clamp(max=0)
    return (part @ offset).squeeze(2)
