"""Bounds of roots with planes above their rectifiers (`planes.py`), which climb together with the slopes below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ballproof.bounds.backward import Backward, Cotangents
from ballproof.bounds.interval import step
from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.relu import Relu
from ballproof.problems import Box
from ballproof.solve.clock import Clock
from ballproof.solve.leaf_backward import Opening
from ballproof.solve.leaf_bounds import Evaluation, LeafBounds
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.planes import Planes, Reading, RootPlanes
from ballproof.values import Interval

MOST = 2**22
"""Numbers of all planes of a site: a search over larger ones would not come far."""

MOST_KEPT = 2**23
"""Numbers of the planes of a site that leaves share, which are multiplied as matrices."""

RATE, DECAY = 0.03, 0.985
"""Of a first step, in units of the weights, and of a step's length: planes have further to go than slopes."""

TOGETHER, MOST_ROWS = 2**22, 2**26
"""Numbers of the rows of a site's layer that are looked at together, and of all of them."""


class Planed(LeafBounds):
    """Bounds of leaves that each have planes of their own: those of `leaves`, in order. They start with the lines above, and
    climb until the clock is over."""

    def __init__(self, bounds: LeafBounds, leaves: Leaves, readings: Mapping[int, Reading], clock: Clock) -> None:
        """readings: by the number of a site."""
        super().__init__(
            bounds.graph, bounds.region, bounds.sites, bounds.lines, bounds.rows, bounds.offsets, joints=bounds.joints
        )
        self.decay, self.clock = DECAY, clock
        self.own = {k: Planes.lines(r, leaves.low[k], leaves.high[k]) for k, r in readings.items()}
        self.guide: Planed | None = None
        if bounds.scout is not bounds:
            kind = bounds.scout.rows.dtype
            self.guide = Planed(bounds.scout, leaves.to(kind), {k: r.to(kind) for k, r in readings.items()}, clock)
            self.scout = self.guide

    @staticmethod
    def of(bounds: LeafBounds, leaves: Leaves, known: Mapping[str, Interval], clock: Clock) -> Planed | None:
        """None where no layer can have planes. known: intervals of nodes, on the whole region."""
        found = {}
        for number, site in enumerate(bounds.sites):
            if clock.over:
                break
            reading = reading_of(bounds, site, known)
            if reading is not None and len(leaves) * reading.weight.numel() <= MOST:
                found[number] = reading
        return Planed(bounds, leaves, found, clock) if found else None

    @property
    def late(self) -> bool:
        return self.clock.over

    def kept(self, leaves: Leaves) -> dict[int, RootPlanes]:
        """The planes, for all leaves that come of these."""
        fits = {k: p for k, p in self.own.items() if p.low.numel() * len(p.reading.columns.unique()) <= MOST_KEPT}
        return {k: RootPlanes.of(p, leaves.group, len(self.rows)) for k, p in fits.items()}

    def _opening(self, number: int, leaves: Leaves, multiplied: bool, weight: Tensor | None) -> Opening:
        return replace(super()._opening(number, leaves, multiplied, weight), above=self.own.get(number))

    def _proven(self, leaves: Leaves, claimed: Tensor) -> Leaves:
        if self.guide is not None:
            kind = self.rows.dtype
            for k, p in self.guide.own.items():
                self.own[k] = replace(self.own[k], slopes=p.slopes.to(kind), rest=p.rest.to(kind), full=p.full.to(kind))
        return super()._proven(leaves, claimed)

    def _rates(self, leaves: Leaves, seen: Evaluation) -> list[Tensor | float]:
        own = [r for p in self.own.values() for r in (RATE * p.reading.unit, RATE, RATE)]
        return [*super()._rates(leaves, seen), *own]

    def _parameters(self, leaves: Leaves) -> list[Tensor]:
        return [*super()._parameters(leaves), *(t for p in self.own.values() for t in (p.slopes, p.rest, p.full))]


def reading_of(bounds: LeafBounds, site: Site, known: Mapping[str, Interval]) -> Reading | None:
    """What the site's rectifiers read; None where they are none, or read more than one node, or are too many, or the region
    is no box."""
    graph, region, source = bounds.graph, bounds.region, _source(bounds.graph, site.argument)
    if source in (None, site.argument) or not isinstance(site.operation, Relu) or not isinstance(region, Box):
        return None
    box = region.box() if source == graph.input else step(graph, graph.node[source], known, bounds.constants)
    center, radius = box.center.reshape(-1), box.radius.reshape(-1)
    if len(site.places) * len(center) > MOST_ROWS:
        return None
    walk, found = _Rows(graph, region, bounds.constants), list[tuple[Tensor, Tensor, Tensor]]()
    for some in site.places.split(max(1, TOGETHER // len(center))):
        rows, bias = walk.rows(site.argument, source, some)
        row, column = ((rows != 0) & (radius > 0)).nonzero(as_tuple=True)
        count = row.bincount(minlength=len(some))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        columns = row.new_zeros(len(some), max(1, int(count.max()))).index_put((row, slot), column)
        weight = rows.new_zeros(columns.shape).index_put((row, slot), rows[row, column])
        found.append((columns, weight, bias + (rows * center).masked_fill(radius > 0, 0.0).sum(1)))
    most = max(c.shape[1] for c, _, _ in found)
    columns, weight = (torch.cat([pad(f[k], (0, most - f[k].shape[1])) for f in found]) for k in (0, 1))
    bias = torch.cat([b for _, _, b in found])
    return Reading(source, len(center), columns, weight, bias, center[columns], radius[columns])


def _source(graph: Graph, name: str) -> str | None:
    """The only node that `name` is an affine function of; None where there are several."""
    found, ahead = set[str](), [name]
    while ahead:
        node = graph.node[ahead.pop()]
        if isinstance(node.operation, Affine):
            ahead += [i for i in node.inputs if graph.node[i].varies]
        else:
            found.add(node.name)
    return found.pop() if len(found) == 1 else None


class _Rows(Backward):
    """A pull-back that ends at nonlinear nodes."""

    def __init__(self, graph: Graph, region: Box, constants: Mapping[str, Tensor]) -> None:
        super().__init__(graph, region, constants, {})
        self.met: dict[str, Tensor] = {}

    def rows(self, name: str, source: str, places: Tensor) -> tuple[Tensor, Tensor]:
        """These flat places of a node as functions of the source: `(places, source)` and `(places,)`."""
        found, bias = self.coefficients(name, places.unsqueeze(0))
        return (self.met.get(source, found)).reshape(len(places), -1), bias.reshape(-1)

    def _through_nonlinear(self, node: Node, operation: Nonlinear, cotangents: Cotangents) -> None:
        self.met[node.name] = cotangents.lower
