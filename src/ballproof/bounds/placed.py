"""One side of many neurons of a convolutional layer, cell by cell: the neurons of a cell see the same windows.

So these are cut out of the maps once for a cell, and sums of products are matrix products. A neuron that is settled on its way
to the input is left behind; those that go on are put together anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.bounds.backward import differ_safely
from ballproof.bounds.local import Coefficients, LocalBackward, Sight
from ballproof.bounds.race import WORTH, with_side
from ballproof.graph import Graph, Node
from ballproof.operations import Affine
from ballproof.operations.phases import Apart
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import row_products
from ballproof.values import Interval, Relaxation


@dataclass(frozen=True)
class Asked:
    """Some neurons, `(query,)` each: their numbers among all, example * cells + cell, the channel, and the sign of the side."""

    number: Tensor
    place: Tensor
    channel: Tensor
    sign: Tensor

    def at(self, index: Tensor) -> Asked:
        return Asked(self.number[index], self.place[index], self.channel[index], self.sign[index])

    def ordered(self) -> Tensor:
        """An order in which the neurons of a cell follow each other, the cells with most of them first."""
        _, cell, counts = self.place.unique(return_inverse=True, return_counts=True)
        order: Tensor = (cell - counts[cell] * len(counts)).argsort(stable=True)
        return order


CUT = 0.5
"""What cutting the windows for a cell costs, in rows that are pulled back."""


@dataclass(frozen=True)
class Rows:
    """Ordered neurons in groups of one size: `place (group,)`, `query (row,)` that stands in a row, `row (query,)`.

    All neurons of a group are at one cell; rows that are left over repeat one.
    """

    place: Tensor
    query: Tensor
    row: Tensor

    @staticmethod
    def of(place: Tensor) -> Rows:
        cells, counts = place.unique_consecutive(return_counts=True)
        size = best_size(counts)
        groups, first = -(-counts // size), counts.cumsum(0) - counts
        ahead = groups.cumsum(0) - groups
        cell = torch.arange(len(cells), device=place.device).repeat_interleave(groups)
        cell = torch.cat([cell, cell[-1:].expand(rounded(len(cell)) - len(cell))])
        step = torch.arange(size, device=place.device)
        start = first[cell] + size * (torch.arange(len(cell), device=place.device) - ahead[cell])
        last = (first + counts - 1)[cell]
        query = torch.minimum(start.unsqueeze(1) + step, last.unsqueeze(1)).flatten()
        row = torch.arange(len(place), device=place.device) + (ahead * size - first).repeat_interleave(counts)
        return Rows(cells[cell], query, row)


def best_size(counts: Tensor) -> int:
    """The size of groups with which rows and cuts together cost least, for so many neurons at each cell."""
    sizes = torch.arange(1, int(counts.max()) + 1, device=counts.device)
    groups = (-(-counts.unsqueeze(1) // sizes)).sum(0)
    return int((groups * (sizes + CUT)).argmin()) + 1


class PlacedBackward(LocalBackward):
    """`LocalBackward` for one side of neurons of which many are at the same cell."""

    def __init__(
        self,
        graph: Graph,
        seen: Sight,
        box: Interval,
        constants: Mapping[str, Tensor],
        relaxations: Mapping[str, Relaxation],
        intervals: Mapping[str, Interval],
        most: int,
    ) -> None:
        """most: neurons that go on together behind the first node at which some may be settled."""
        super().__init__(graph, seen, box, constants, relaxations, intervals)
        self.most = most
        self._safe: dict[str, bool] = {}

    def side(self, asked: Asked, known: Interval, asks: Scalar | None) -> Interval:
        """The proven ends `known (query,)`, cut with the lower value of sign times each neuron.

        asks: the operation that wants to know; a neuron that it gains nothing from is dropped on the way, without it none.
        """
        self.known, self.asks = known, asks
        with torch.inference_mode(not torch.is_grad_enabled()):  # 5 % faster
            self._take(asked)
            self._begin(self.place, self.channel, self.sign)
            self._walk(0, checked=False)
        return self.known

    def _take(self, asked: Asked) -> None:
        self.asked, self.rows = asked, Rows.of(asked.place)
        each = asked.at(self.rows.query)
        self.place, self.channel, self.sign = self.rows.place, each.channel, each.sign

    def _walk(self, first: int, checked: bool) -> None:
        last = self.seen.nodes[-1]
        for number, node in enumerate(self.seen.nodes[first:], first):
            if self.asks and node in self.seen.checks and not (checked and number == first):
                left = self._left(self.asks)
                if left is not None:
                    self._apart(left, number)
                    return
            if node is last and len(self.pending) == 1 and self._order(node) is not None:
                break  # one that meets the input alone is as tight there as behind it
            self._through(node)
        self._note(self._on_way())

    def _left(self, asks: Scalar) -> Tensor | None:
        """Which of the neurons go on, after what is proven of them where they are now; None for all."""
        self._note(self._on_way())
        open_ = asks.unsettled(self.known[self.asked.number])[0]
        return None if int(open_.sum()) > WORTH * len(open_) else open_.nonzero().flatten()

    def _note(self, value: Tensor) -> None:
        """Cut what is known with lower values of the rows."""
        number, sign = self.asked.number, self.asked.sign
        cut = with_side(self.known[number], sign, value[self.rows.row], "a query on its way")
        lower, upper = self.known.lower.index_put((number,), cut.lower), self.known.upper.index_put((number,), cut.upper)
        self.known = Interval(lower, upper)

    def _apart(self, left: Tensor, number: int) -> None:
        """Go on from a node with some of the neurons, so many at once as fit."""
        asked, rows, low, pending = self.asked, self.rows, self.low, self.pending
        left = left[asked.at(left).ordered()]
        for part in torch.split(left, self.most) if len(left) else ():
            self._take(asked.at(part))
            old = rows.row[part][self.rows.query]
            self.low = self.up = low[old]
            self.pending = {n: c if c.by_channel else c.map(lambda t, old=old: _taken(t, old)) for n, c in pending.items()}  # type: ignore[misc]
            self._walk(number, checked=True)

    def _on_way(self) -> Tensor:
        """Proven lower values of the rows where they are now, from the intervals of the nodes that are pending."""
        low = self.low
        for name in self.pending:
            node = self.graph.node[name]
            order = self._order(node)
            low = low + (self._taken_on(name, self.intervals[name]).lower if order is None else self._taken_behind(node, order))
        return low

    def _order(self, node: Node) -> Apart | None:
        """The order in which the argument of a pending node is best met."""
        if not isinstance(node.operation, Affine):
            return None
        return node.operation.apart(self.pending[node.name].lower, self.graph.arguments(node, self.constants))

    def _taken_behind(self, node: Node, order: Apart) -> Tensor:
        """The lower values of what is pending at a convolution, on the interval of its argument."""
        box, (x, *weights) = self.intervals[node.inputs[0]], self.graph.arguments(node, self.constants)
        assert x is None and isinstance(node.operation, Affine)
        forward = node.operation.forward
        coming = self._each(self._masked(node, self.pending[node.name])).lower.contiguous(memory_format=torch.channels_last)
        middle = self._cut("middle", node.name, lambda: forward(box.center, *[w for w in weights if w is not None]))
        window = order.window(self.seen.windows[node.name])
        radius = self._cut("radius behind", node.name, lambda: order.maps(box.radius), window)
        return self._dot(coming, middle) - self._dot(order.pull(coming).abs_(), radius)

    def _nonlinear(self, node: Node) -> None:
        coming = self._each(self.pending.pop(node.name)).lower
        slope, above, over, under = self._lines(node, self.relaxations[node.name])
        falling = coming.clamp(max=0)
        if above is None:
            pulled = self._times(coming, slope)
        elif self._differ(node):
            pulled = self._plus(self._times(coming, slope), falling, above)
        else:
            pulled = self._plus(self._times(coming - falling, slope), falling, above)
        self.low = self.low if over is None else self.low + self._dot(falling, over)
        self.low = self.low if under is None else self.low + self._dot(coming - falling, under)
        parent = next(i for i in node.inputs if self.graph.node[i].varies)
        self._send(parent, Coefficients(pulled, None, by_channel=False))

    def _second(self, node: Node, relaxation: Relaxation) -> Tensor:
        """The slope above, or how much it is above the one below where that is not rounded too much."""
        above = relaxation.upper.slopes[0]
        return above - relaxation.lower.slopes[0] if self._differ(node) else above

    def _differ(self, node: Node) -> bool:
        if node.name not in self._safe:
            lines = self.relaxations[node.name]
            self._safe[node.name] = differ_safely(lines.lower.slopes[0].detach(), lines.upper.slopes[0].detach())
        return self._safe[node.name]

    def _times(self, coefficients: Tensor, cut: Tensor) -> Tensor:
        return (self._grouped(coefficients) * cut.unsqueeze(1)).flatten(0, 1)

    def _plus(self, total: Tensor, coefficients: Tensor, cut: Tensor) -> Tensor:
        """The total, which is used up, plus the coefficients times what was cut for their cells."""
        return self._grouped(total).addcmul_(self._grouped(coefficients), cut.unsqueeze(1)).flatten(0, 1)

    def _grouped(self, coefficients: Tensor) -> Tensor:
        """`(row, channels, *size)` as `(group, row of it, channels, *size)`."""
        return coefficients.reshape(len(self.place), -1, *coefficients.shape[1:])

    def _dot(self, coefficients: Tensor, cut: Tensor, spent: bool = False) -> Tensor:
        table = coefficients.permute(0, 2, 3, 1).reshape(len(self.place), -1, coefficients.shape[1:].numel())
        return row_products(table, cut.permute(0, 2, 3, 1).flatten(1)).flatten()


def _taken(windows: Tensor, rows: Tensor) -> Tensor:
    """Some rows of windows `(row, channels, *size)`, with the channels last in memory."""
    ordered = windows.permute(0, 2, 3, 1)
    return ordered.reshape(len(windows), -1).index_select(0, rows).reshape(-1, *ordered.shape[1:]).permute(0, 3, 1, 2)


def rounded(count: int) -> int:
    """The count rounded up to three leading bits and an eighth: a library that compiles for each size sees few of them."""
    step = 1 << max(0, count.bit_length() - 4)
    return -(-count // step) * step
