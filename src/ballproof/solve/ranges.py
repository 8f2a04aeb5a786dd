"""Rows that no output can meet: a rectifier is never below 0, a softmax never above 1, wherever the input lies."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf, isfinite

import torch

from ballproof.graph import Graph, Node
from ballproof.operations.concat import Concat
from ballproof.operations.gather import Gather
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape
from ballproof.operations.slice import Slice
from ballproof.problems.vnnlib import Case, Row
from ballproof.values import Interval

MOVES = (Concat, Gather, Permute, Reshape, Slice)
"""Operations that put values elsewhere and change none."""


def possible(graph: Graph, cases: tuple[Case, ...]) -> list[Case]:
    """The cases, and of each the groups, that the codomains of the last operations leave open.

    In exact arithmetic on the numbers as they are read, so that a strict row is refuted by a tie, which no bound with a
    margin for rounding proves.
    """
    ends = _ends(graph, graph.node[graph.output])
    low, high = ends.lower.flatten().tolist(), ends.upper.flatten().tolist()
    if not any(map(isfinite, low + high)):
        return list(cases)
    left = [replace(c, groups=tuple(g for g in c.groups if not any(_impossible(r, low, high) for r in g))) for c in cases]
    return [case for case in left if case.groups]


def _ends(graph: Graph, node: Node) -> Interval:
    """What the values `(1, *shape)` of a node lie within for all inputs whatever, ends included; exact."""
    operation = node.operation
    if isinstance(operation, MOVES) and all(graph.node[i].varies or i in graph.values for i in node.inputs):
        given = (_ends(graph, graph.node[i]) if graph.node[i].varies else graph.values[i] for i in node.inputs)
        return operation.interval(*given)
    low, high = (-inf, inf) if operation is None else operation.codomain
    zeros = torch.zeros(1, *node.shape, dtype=torch.float64)
    return Interval(zeros + low, zeros + high)


def _impossible(row: Row, low: list[float], high: list[float]) -> bool:
    """Whether the least value of its left side is above its bound, or at it where the row is strict."""
    if row.on_x or row.on_products or not row.on_y:
        return False
    ends = [low[y] if weight > 0 else high[y] for y, weight in row.on_y]
    if not all(isfinite(e) for e in ends):
        return False
    least = sum(Fraction(weight) * Fraction(e) for (_, weight), e in zip(row.on_y, ends, strict=True))
    return least > Fraction(row.bound) or (row.strict and least == Fraction(row.bound))
