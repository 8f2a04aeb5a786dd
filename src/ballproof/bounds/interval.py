"""Interval bounds (IBP): one enclosure for every node, from the input to the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.errors import DomainError
from ballproof.graph import Graph, Node, Snapshot
from ballproof.operations import Affine, Role
from ballproof.operations.base import Argument
from ballproof.problems import Linf, Region
from ballproof.values import Interval


@dataclass(frozen=True)
class Ends(Mapping[str, Interval]):
    """Intervals by the names of their nodes, held as ends in one tensor, `(2, batch, *node)`."""

    known: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Interval:
        return Interval(*self.known[name].unbind())

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def interval_pass(graph: Graph, box: Interval, constants: Mapping[str, Tensor] | None = None) -> Mapping[str, Interval]:
    """Encloses every varying node on the box `(batch, *input)`. Differentiable. Price: two forward passes."""
    if constants is None and isinstance(graph, Snapshot):
        graph.constants()  # refuses weights that were written to
        return _prepared_pass(graph, box, len(graph.steps))
    constants = graph.constants() if constants is None else constants
    known = {graph.input: box}
    for node in graph.varying:
        known[node.name] = step(graph, node, known, constants)
    return known


def bends_pass(graph: Graph, region: Region, constants: Mapping[str, Tensor]) -> Mapping[str, Interval]:
    """The interval pass up to the last nonlinear node, as far as queries meet it that are pulled back through affine nodes."""
    if isinstance(graph, Snapshot):
        return prepared_bends(graph, region)
    known = {graph.input: region.box()}
    for node in graph.varying[: _bends(graph)]:
        known[node.name] = step(graph, node, known, constants)
    return known


def _bends(graph: Graph) -> int:
    """How many computed nodes there are up to the last nonlinear one."""
    count = len(graph.varying)
    while count and isinstance(graph.varying[count - 1].operation, Affine):
        count -= 1
    return count


def _prepared_pass(graph: Snapshot, box: Interval, count: int) -> Ends:
    """The first so many nodes, by rules with the weights built in."""
    return _followed(graph, {graph.input: torch.stack([box.lower, box.upper])}, 0, count)


def prepared_bends(graph: Snapshot, region: Region) -> Ends:
    """`bends_pass` of a snapshot; not of the input and its shapes where the first layer knows what becomes of the radius."""
    entry, count = graph.entry, _bends(graph)
    if entry is None or entry.count > count or not (isinstance(region, Linf) and region.even):
        return _prepared_pass(graph, region.box(), count)
    return _followed(graph, {entry.node.name: entry.ends(region.center, region.reach)}, entry.count, count)


def _followed(graph: Snapshot, known: dict[str, Tensor], done: int, count: int) -> Ends:
    for step in graph.steps[done:count]:
        try:
            known[step.node.name] = step.rule(*[known[i] for i in step.varying])
        except DomainError as error:
            raise _told(error, step.node) from None
    return Ends(known)


def step(graph: Graph, node: Node, known: Mapping[str, Interval], constants: Mapping[str, Tensor]) -> Interval:
    """The interval of one node from those of its arguments."""
    assert node.operation is not None
    try:
        return node.operation.interval(*arguments(graph, node, known, constants))
    except DomainError as error:
        raise _told(error, node) from None


@contextmanager
def placed(node: Node) -> Iterator[None]:
    """Says in a `DomainError` at which node, and where in the user's source, it arose."""
    try:
        yield
    except DomainError as error:
        raise _told(error, node) from None


def _told(error: DomainError, node: Node) -> DomainError:
    source = f" ({node.source})" if node.source else ""
    return DomainError(f"node `{node.name}`{source}: {error}")


def arguments(graph: Graph, node: Node, known: Mapping[str, Interval], constants: Mapping[str, Tensor]) -> tuple[Argument, ...]:
    """What the rules of an operation take: intervals for what varies, tensors for constants."""
    return tuple(known[i] if graph.node[i].varies else constants[i] for i in node.inputs)


def exact_on_boxes(graph: Graph) -> set[str]:
    """The nodes whose interval is the exact range of every coordinate when the region is a box.

    Coordinates that vary independently stay so under a coordinatewise operation; one affine operation on independent
    coordinates has exact ranges, and keeps them under coordinatewise operations, but its outputs depend on each other.
    A coordinatewise operation that broadcasts its argument makes copies, which depend on each other too.
    """
    independent, exact = {graph.input}, {graph.input}
    for node in graph.varying:
        varying = [i for i in node.inputs if graph.node[i].varies]
        assert node.operation is not None
        if len(varying) != 1 or varying[0] not in exact:
            continue
        if node.operation.coordinatewise and torch.Size(node.shape).numel() <= torch.Size(graph.node[varying[0]].shape).numel():
            exact.add(node.name)
            independent |= {node.name} if varying[0] in independent else set()
        elif varying[0] in independent and isinstance(node.operation, Affine) and node.role is Role.AFFINE:
            exact.add(node.name)
    return exact
