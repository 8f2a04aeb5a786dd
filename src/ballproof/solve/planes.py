"""Planes above rectifiers: tighter than lines in their arguments, where what a layer reads is known to lie in a box.

A rectifier's argument is `z = w x + b` of the values x that its layer reads. For any p, and any k, m >= 0,

    relu(z) <= p x + q  for x in the box and z in [l, u],  with q the larger of
        the most of  (k w - p) x + k (b - l)  and of  (w - m w - p) x + b + m (u - b)  on the box,

as relu(z) is 0 or z, `k (z - l)` is not negative where z >= l, nor `m (u - z)` where z <= u. With k = s, m = 1 - s and p = s w
for the slope s of the line above, this is that line; the other planes make up the convex hull of the rectifier over box and
interval (Anderson et al. 2020, Tjandraatmadja et al. 2020). All of p, k and m are free like slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.solve.leaves import Leaves

SHARE = 0.8
"""A leaf uses the planes of its root where its interval is at least so much of the root's, and lines elsewhere."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The rectifiers of a site as functions of what their layer reads, the node `source`: `relu(weight x[columns] + bias)`.

    columns, weight: `(neurons, inputs)`, of flat places; what fills them up has the weight 0. center, radius: of the box there,
    of that shape. size: of the whole source.
    """

    source: str
    size: int
    columns: Tensor
    weight: Tensor
    bias: Tensor
    center: Tensor
    radius: Tensor

    def to(self, kind: torch.dtype) -> Reading:
        """The same in another precision, rounded to the nearest."""
        parts = (t.to(kind) for t in (self.weight, self.bias, self.center, self.radius))
        return Reading(self.source, self.size, self.columns, *parts)

    @property
    def unit(self) -> Tensor:
        """The size of each weight, a tenth of the neuron's mean at least; 0 where there is none."""
        size = self.weight.abs()
        return (size + 0.1 * size.sum(1, keepdim=True) / (size > 0).sum(1, keepdim=True).clamp(min=1)) * (size > 0)

    def most(self, slopes: Tensor) -> Tensor:
        """What `slopes x`, slopes `(leaves, neurons, inputs)`, reaches on the box, `(leaves, neurons)`."""
        return (slopes * self.center).sum(2) + (slopes.abs() * self.radius).sum(2)


@dataclass(frozen=True, eq=False)
class Query:
    """Of the nodes of a pull-back: `values (1, leaves, size)` of the node `source`, and what is added, `(1, leaves)`."""

    source: str
    values: Tensor
    offset: Tensor


@dataclass(frozen=True, eq=False)
class Planes:
    """One plane above each neuron of a site, by leaf: p `(leaves, neurons, inputs)`; k, m, l and u `(leaves, neurons)`."""

    reading: Reading
    slopes: Tensor
    rest: Tensor
    full: Tensor
    low: Tensor
    high: Tensor

    @staticmethod
    def lines(reading: Reading, low: Tensor, high: Tensor) -> Planes:
        """Those of the lines above on these intervals."""
        chord = high.relu() / (high.relu() - low.clamp(max=0)).clamp(min=1e-30)
        return Planes(reading, chord.unsqueeze(2) * reading.weight, chord, 1 - chord, low, high)

    def heights(self) -> Tensor:
        """The q of each, `(leaves, neurons)`."""
        k, m, weight, bias = self.rest.relu(), self.full.relu(), self.reading.weight, self.reading.bias
        zero = self.reading.most(k.unsqueeze(2) * weight - self.slopes) + k * (bias - self.low)
        whole = self.reading.most((1 - m).unsqueeze(2) * weight - self.slopes) + bias + m * (self.high - bias)
        return torch.maximum(zero, whole)

    def below(self, falling: Tensor) -> tuple[Query, Tensor]:
        """What bounds `falling (1, leaves, neurons)`, at most 0, times the values; and what is left of it for lines."""
        values = (falling.squeeze(0).unsqueeze(2) * self.slopes).flatten(1)
        pulled = values.new_zeros(len(values), self.reading.size).index_add(1, self.reading.columns.flatten(), values)
        offset = (falling * self.heights()).sum(2)
        return Query(self.reading.source, pulled.unsqueeze(0), offset), torch.zeros_like(falling)


@dataclass(frozen=True, eq=False)
class RootPlanes:
    """The planes of roots, fixed for all leaves that come of them.

    columns: the flat places of the source that any of them reads. slot: `(groups,)`, the number of each group's root, -1 where
    it has none. slopes: `(roots, neurons, columns)`; heights, low, high: `(roots, neurons)`.
    """

    source: str
    size: int
    columns: Tensor
    slot: Tensor
    slopes: Tensor
    heights: Tensor
    low: Tensor
    high: Tensor

    @staticmethod
    def of(planes: Planes, group: Tensor, groups: int) -> RootPlanes:
        """From planes of leaves of these groups, one each."""
        reading = planes.reading
        columns, place = reading.columns.unique(return_inverse=True)
        slopes = planes.slopes.new_zeros(*planes.low.shape, len(columns))
        slopes.scatter_add_(2, place.expand_as(planes.slopes), planes.slopes)
        slot = torch.full((groups,), -1, device=group.device).index_copy(
            0, group, torch.arange(len(group), device=group.device)
        )
        return RootPlanes(reading.source, reading.size, columns, slot, slopes, planes.heights(), planes.low, planes.high)

    def to(self, kind: torch.dtype) -> RootPlanes:
        """The same in another precision, rounded to the nearest."""
        parts = (t.to(kind) for t in (self.slopes, self.heights, self.low, self.high))
        return RootPlanes(self.source, self.size, self.columns, self.slot, *parts)

    def on(self, leaves: Leaves, number: int) -> LeafPlanes:
        """What leaves use of them at the site of this number."""
        low, high, slot = leaves.low[number], leaves.high[number], self.slot[leaves.group]
        wide = high - low >= SHARE * (self.high[slot] - self.low[slot])
        return LeafPlanes(self, slot, (low < 0) & (high > 0) & wide & (slot >= 0).unsqueeze(1))


@dataclass(frozen=True, eq=False)
class LeafPlanes:
    """Planes of roots `slot (leaves,)` above the neurons of leaves that are `used (leaves, neurons)`."""

    planes: RootPlanes
    slot: Tensor
    used: Tensor

    def below(self, falling: Tensor) -> tuple[Query, Tensor]:
        """What bounds `falling (1, leaves, neurons)`, at most 0, times the values; and what is left of it for lines."""
        planes, mine = self.planes, falling * self.used
        pulled = mine.new_zeros(len(self.slot), planes.size)
        for slot in self.slot.unique().tolist():
            rows = (self.slot == slot).nonzero()
            values = mine.squeeze(0)[rows.flatten()] @ planes.slopes[slot]
            pulled = pulled.index_put((rows, planes.columns), values)
        offset = (mine * planes.heights[self.slot]).sum(2)
        return Query(planes.source, pulled.unsqueeze(0), offset), falling - mine
