"""Sub-problems of a search over neurons: which of them may be split, and what a sub-problem knows of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.graph import Graph, Node
from ballproof.operations.scalar import Scalar
from ballproof.values import Interval


@dataclass(frozen=True, eq=False)
class Site:
    """The neurons of one scalar node that the root leaves unsettled: flat places of its argument, `(neurons,)`.

    constants: the operation's further arguments at those places. ahead: the number of the site whose values are the argument,
    None where there is none; shared: which neurons of this site take values of which neurons of that one.
    """

    node: Node
    operation: Scalar
    argument: str
    places: Tensor
    constants: tuple[Tensor, ...]
    ahead: int | None = None
    shared: tuple[Tensor, Tensor] | None = None

    def take(self, index: Tensor) -> Site:
        """Some of the neurons, alone."""
        constants = tuple(c[index] for c in self.constants)
        return Site(self.node, self.operation, self.argument, self.places[index], constants)

    def interval(self, low: Tensor, high: Tensor) -> Interval:
        return Interval(low, high)


@dataclass(frozen=True, eq=False)
class Leaves:
    """Sub-problems along axis 0: one group of the property each, on the part of the region where splits hold.

    low, high, beta: by site, `(leaves, neurons)`: the interval of each argument and the multiplier on it. free: by site, the
    slopes. mix: `(leaves, rows)`, the weights of the group's rows. bound, age, cell: `(leaves,)`, what their
    parents proved, the splits since their intervals were new, and their numbers in a proof that is written. learnt:
    `(leaves, cuts)`, the multipliers of cuts.
    """

    group: Tensor
    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    beta: tuple[Tensor, ...]
    free: tuple[tuple[Tensor, ...], ...]
    mix: Tensor
    bound: Tensor
    age: Tensor
    cell: Tensor
    learnt: Tensor

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, index: Tensor | slice) -> Leaves:
        pick = lambda parts: tuple(p[index] for p in parts)  # noqa: E731
        free = tuple(pick(f) for f in self.free)
        return Leaves(
            self.group[index],
            pick(self.low),
            pick(self.high),
            pick(self.beta),
            free,
            self.mix[index],
            self.bound[index],
            self.age[index],
            self.cell[index],
            self.learnt[index],
        )

    def to(self, kind: torch.dtype) -> Leaves:
        """The same in another precision, rounded to the nearest."""
        cast = lambda parts: tuple(p.to(kind) for p in parts)  # noqa: E731
        return replace(
            self,
            low=cast(self.low),
            high=cast(self.high),
            beta=cast(self.beta),
            free=tuple(cast(f) for f in self.free),
            mix=self.mix.to(kind),
            bound=self.bound.to(kind),
            learnt=self.learnt.to(kind),
        )

    @staticmethod
    def joined(parts: list[Leaves]) -> Leaves:
        if len(parts) == 1:
            return parts[0]
        cat = lambda name: tuple(torch.cat(p) for p in zip(*(getattr(q, name) for q in parts), strict=True))  # noqa: E731
        free = tuple(
            tuple(torch.cat(p) for p in zip(*sites, strict=True)) for sites in zip(*(q.free for q in parts), strict=True)
        )
        one = lambda name: torch.cat([getattr(p, name) for p in parts])  # noqa: E731
        ends = cat("low"), cat("high"), cat("beta")
        return Leaves(one("group"), *ends, free, one("mix"), one("bound"), one("age"), one("cell"), one("learnt"))


def sites_of(graph: Graph, intervals: Mapping[str, Interval], constants: Mapping[str, Tensor]) -> list[Site]:
    """The scalar nodes with unsettled neurons, in order; nodes that broadcast their argument are none.

    Wherever the two lines of a node differ, be it by rounding, a neuron counts as unsettled.
    """
    found = list[Site]()
    for node in graph.varying:
        operation, name = node.operation, node.inputs[0]
        if not isinstance(operation, Scalar) or not graph.node[name].varies or node.shape != graph.node[name].shape:
            continue
        given = [constants[i] for i in node.inputs[1:]]
        lines = operation.relax(intervals[name], *given, slope="adaptive")
        two = (lines.lower.slopes[0] != lines.upper.slopes[0]) | (lines.lower.offset != lines.upper.offset)
        places = (operation.unsettled(intervals[name], *given)[0] | two).reshape(-1).nonzero().flatten()
        if len(places):
            at = tuple(c.expand(1, *node.shape).reshape(-1)[places] for c in given)
            found.append(Site(node, operation, name, places, at, *_shared(found, name, places)))
    return found


def _shared(sites: list[Site], name: str, places: Tensor) -> tuple[int | None, tuple[Tensor, Tensor] | None]:
    """The site of this node, and the pairs of neurons at the same places of it."""
    number = next((k for k, s in enumerate(sites) if s.node.name == name), None)
    if number is None:
        return None, None
    mine, theirs = (places.unsqueeze(1) == sites[number].places).nonzero(as_tuple=True)
    return (number, (mine, theirs)) if len(mine) else (None, None)


def cut_ends(leaves: Leaves, whole: Leaves) -> list[Tensor]:
    """By site, `(leaves, neurons)`: which intervals are not those of the whole."""
    pairs = zip(leaves.low, leaves.high, whole.low, whole.high, strict=True)
    return [(a != c) | (b != d) for a, b, c, d in pairs]


def root(sites: list[Site], intervals: Mapping[str, Interval], groups: Tensor, offsets: Tensor) -> Leaves:
    """One leaf for each of the groups, with the whole region, slopes of least area and the first row alone.

    offsets: `(all groups, rows)`.
    """
    count = len(groups)
    ends = [intervals[s.argument] for s in sites]
    low = tuple(e.lower.reshape(-1)[s.places].expand(count, -1).clone() for s, e in zip(sites, ends, strict=True))
    high = tuple(e.upper.reshape(-1)[s.places].expand(count, -1).clone() for s, e in zip(sites, ends, strict=True))
    free = tuple(
        tuple(p.clone() for p in s.operation.start(Interval(a, b), *s.constants))
        for s, a, b in zip(sites, low, high, strict=True)
    )
    mix = offsets.new_zeros(count, offsets.shape[1])
    mix[:, 0] = 1.0
    beta = tuple(torch.zeros_like(a) for a in low)
    bound, zero, learnt = torch.full_like(mix[:, 0], -torch.inf), torch.zeros_like(groups), mix.new_zeros(count, 0)
    return Leaves(groups, low, high, beta, free, mix, bound, zero, zero, learnt)
