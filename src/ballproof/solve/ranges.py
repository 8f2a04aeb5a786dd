"""Strict rows that no output can meet: a rectifier is never below 0, a softmax never above 1, wherever the input lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import inf, isfinite

import torch

from ballproof.bounds.interval import interval_pass
from ballproof.errors import DomainError
from ballproof.graph import Graph
from ballproof.operations.base import Argument
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice
from ballproof.problems import Region
from ballproof.problems.vnnlib import Case, Row
from ballproof.values import Interval

MOVES = (Concat, Gather, Permute, Reshape, Slice)
"""Operations that put values elsewhere and change none."""


def possible(graph: Graph, cases: tuple[Case, ...], region_of: Callable[[Case], Region]) -> list[Case]:
    """The cases, and of each the groups, that no strict row refutes by the codomains of the last operations.

    Only rows whose numbers are the file's own, in exact arithmetic, so that a tie refutes them, which no bound with a margin
    for rounding proves. A case goes only if the network is defined on its whole region.
    """
    if not any(row.strict and row.exact for case in cases for group in case.groups for row in group):
        return list(cases)
    ends = _codomain(graph)
    low, high = ends.lower.flatten().tolist(), ends.upper.flatten().tolist()
    left = []
    for case in cases:
        groups = tuple(g for g in case.groups if not any(_impossible(row, low, high) for row in g))
        if groups or not _defined(graph, region_of(case)):
            left.append(replace(case, groups=groups or case.groups))
    return left


def _codomain(graph: Graph) -> Interval:
    """What the outputs `(1, *output)` lie within for all inputs whatever, ends included; exact."""
    known: dict[str, Argument] = dict(graph.values)
    for node in graph.nodes:
        operation = node.operation
        if not node.varies:
            continue
        if isinstance(operation, MOVES) and all(i in known for i in node.inputs):
            known[node.name] = operation.interval(*(known[i] for i in node.inputs))
            continue
        low, high = (-inf, inf) if operation is None else operation.codomain
        zeros = torch.zeros(1, *node.shape, dtype=torch.float64)
        known[node.name] = Interval(zeros + low, zeros + high)
    found = known[graph.output]
    assert isinstance(found, Interval)
    return found


def _impossible(row: Row, low: list[float], high: list[float]) -> bool:
    """Whether the least value of its left side is at its bound or above."""
    if not (row.strict and row.exact) or row.on_x or row.on_products:
        return False
    ends = [low[y] if weight > 0 else high[y] for y, weight in row.on_y]
    if not ends or not all(isfinite(e) for e in ends):
        return False
    least = sum(Fraction(weight) * Fraction(e) for (_, weight), e in zip(row.on_y, ends, strict=True))
    return least >= Fraction(row.bound)


def _defined(graph: Graph, region: Region) -> bool:
    try:
        with torch.no_grad():
            interval_pass(graph, region.box())
    except DomainError:
        return False
    return True
