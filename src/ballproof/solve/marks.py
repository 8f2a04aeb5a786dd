"""Cuts at the arguments of functions of several numbers: products of two branches, matrix products, softmax and its logarithm.

Such a function has no neurons of its own. A mark, the identity, stands before each argument that varies: its coordinates are
neurons of a search like any other, so that a leaf knows in which part of its interval an argument lies; and the function is
relaxed anew on what a leaf knows of its arguments. As all intervals shrink the two lines meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.bounds.backward import rowwise
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear, Role
from ballproof.operations.base import Argument, Slope
from ballproof.operations.scalar import Scalar, split
from ballproof.solve.leaves import Leaves, Site
from ballproof.values import Interval, Line, Relaxation


@dataclass(frozen=True)
class Mark(Scalar):
    """The identity. Its relaxation loses nothing; a cut of its interval serves the functions behind it."""

    monotone = 1

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0]

    def derivative(self, x: Tensor, *constants: Tensor) -> Tensor:
        return torch.ones_like(x)

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        x, _ = split(inputs)
        line = Line((torch.ones_like(x.lower),), torch.zeros_like(x.lower))
        return Relaxation(line, line, parallel=True)

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        return ()

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        x, _ = split(inputs)
        return (x.lower < x.upper,)


def with_marks(graph: Graph, intervals: Mapping[str, Interval]) -> tuple[Graph, dict[str, Interval]]:
    """The same function with a mark before each argument of functions of several numbers; and the intervals with theirs."""
    nodes, known, marks = list[Node](), dict(intervals), dict[str, str]()
    for n in graph.nodes:
        if not _joint(n):
            nodes.append(n)
            continue
        for name in (i for i in n.inputs if graph.node[i].varies and i not in marks):
            marks[name] = f"{name}.mark"
            known[marks[name]] = known[name]
            nodes.append(Node(marks[name], Mark(), (name,), graph.node[name].shape, Role.NONLINEAR))
        nodes.append(replace(n, inputs=tuple(marks.get(i, i) for i in n.inputs)))
    return (Graph(tuple(nodes), graph.input, graph.output, graph.values), known) if marks else (graph, known)


def _joint(node: Node) -> bool:
    operation = node.operation
    return node.varies and isinstance(operation, Nonlinear) and not isinstance(operation, Scalar) and operation.cuttable


@dataclass(frozen=True, eq=False)
class Joint:
    """A function of several numbers. arguments: constants, and intervals on the region; sites: their marks' numbers, None where
    there is nothing to cut."""

    node: Node
    operation: Nonlinear
    arguments: tuple[Argument, ...]
    sites: tuple[int | None, ...]

    def relaxed(self, leaves: Leaves, sites: list[Site]) -> Relaxation:
        """The two lines on what each leaf knows, `(1, leaves, *node)`."""
        found = self.operation.relax(*self.known(leaves, sites), slope="adaptive")
        lines = [Line(tuple(s.unsqueeze(0) for s in x.slopes), x.offset.unsqueeze(0)) for x in (found.lower, found.upper)]
        return Relaxation(lines[0], lines[1], found.parallel)

    def known(self, leaves: Leaves, sites: list[Site]) -> tuple[Argument, ...]:
        """The arguments as each leaf knows them, `(leaves, *argument)`."""
        pairs = zip(self.arguments, self.sites, strict=True)
        return tuple(_on(leaves, sites, a, number) if isinstance(a, Interval) else a for a, number in pairs)

    def sway(self, cotangent: Tensor, leaves: Leaves, sites: list[Site]) -> list[tuple[int, Tensor]]:
        """By number of site: how far the coefficients of its neurons turn on each leaf, `(leaves, neurons)`."""
        found = iter(self.operation.sway(cotangent, *self.known(leaves, sites)))
        each = [(number, next(found)) for a, number in zip(self.arguments, self.sites, strict=True) if isinstance(a, Interval)]
        return [(n, rowwise(s)[:, sites[n].places]) for n, s in each if n is not None]

    def to(self, kind: torch.dtype) -> Joint:
        """The same in another precision, rounded to the nearest."""
        cast = lambda a: Interval(a.lower.to(kind), a.upper.to(kind)) if isinstance(a, Interval) else a.to(kind)  # noqa: E731
        return replace(self, arguments=tuple(cast(a) for a in self.arguments))


def joints_of(
    graph: Graph, sites: list[Site], intervals: Mapping[str, Interval], constants: Mapping[str, Tensor]
) -> tuple[Joint, ...]:
    """Those whose arguments are marked."""
    numbers = {s.node.name: number for number, s in enumerate(sites) if isinstance(s.operation, Mark)}
    found = []
    for n in graph.varying:
        if any(i in numbers for i in n.inputs):
            assert isinstance(n.operation, Nonlinear)
            known = tuple(intervals[i] if graph.node[i].varies else constants[i] for i in n.inputs)
            found.append(Joint(n, n.operation, known, tuple(numbers.get(i) for i in n.inputs)))
    return tuple(found)


def marked(leaves: Leaves, sites: list[Site], number: int) -> Interval:
    """What the leaves know of the neurons of a mark, `(leaves, neurons)`: their own cuts, and those of the neurons ahead."""
    site, low, high = sites[number], leaves.low[number], leaves.high[number]
    if site.ahead is None or site.shared is None:
        return Interval(low, high)
    mine, theirs = site.shared
    values = passed(leaves, sites, site.ahead)
    lower, upper = torch.maximum(low[:, mine], values.lower[:, theirs]), torch.minimum(high[:, mine], values.upper[:, theirs])
    met = lower <= upper  # else the leaf holds no input, or a single one up to rounding
    ends = (torch.where(met, lower, low[:, mine]), low), (torch.where(met, upper, high[:, mine]), high)
    return Interval(*(whole.index_copy(1, mine, own) for own, whole in ends))


def passed(leaves: Leaves, sites: list[Site], number: int) -> Interval:
    """The values of the neurons of a site on each leaf."""
    site = sites[number]
    return site.operation.interval(Interval(leaves.low[number], leaves.high[number]), *site.constants)


def _on(leaves: Leaves, sites: list[Site], whole: Interval, number: int | None) -> Interval:
    shape = (len(leaves), *whole.lower.shape[1:])
    if number is None:
        return Interval(whole.lower.expand(shape), whole.upper.expand(shape))
    place = lambda all_, own: rowwise(all_).repeat(len(leaves), 1).index_copy(1, sites[number].places, own).reshape(shape)  # noqa: E731
    known = marked(leaves, sites, number)
    return Interval(place(whole.lower, known.lower), place(whole.upper, known.upper))
