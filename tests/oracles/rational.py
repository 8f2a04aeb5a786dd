"""The exact minimum of a tiny network over a box in rational arithmetic: every vertex of every linear region.

No tolerance anywhere. For two or three inputs and up to about six neurons: all patterns are visited, none is pruned.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product

from oracles.maxnet import Affine, Array, Layers

Row = tuple[list[Fraction], Fraction]
"""Coefficients and offset of an affine function of the input."""


def minimum(net: Layers, lower: Array, upper: Array, c: Array) -> Fraction:
    """The least value of c·net(x) over the box. Floats are taken as the rationals that they are."""
    n = len(lower)
    unit = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    sides = [([-e for e in unit[i]], Fraction(float(lower[i]))) for i in range(n)]
    sides += [(unit[i], -Fraction(float(upper[i]))) for i in range(n)]
    start: list[Row] = [(unit[i], Fraction(0)) for i in range(n)]
    return min(value for outputs, cell in cells(net, start, sides) for value in corner_values(outputs, cell, c))


def cells(net: Layers, rows: list[Row], sides: list[Row]) -> Iterator[tuple[list[Row], list[Row]]]:
    """Every pattern: the outputs as rows, and the rows that must be <= 0 there."""
    if not net:
        yield rows, sides
        return
    first, *rest = net
    if isinstance(first, Affine):
        yield from cells(rest, [plus(mix(w, rows), o) for w, o in zip(first.matrix, first.offset, strict=True)], sides)
        return
    options = [[mix(w, rows) for w in candidates] for candidates in first.candidates]
    for winners in product(*(range(len(o)) for o in options)):
        picked = [o[k] for o, k in zip(options, winners, strict=True)]
        lost = [minus(r, p) for o, p in zip(options, picked, strict=True) for r in o if r is not p]
        yield from cells(rest, picked, sides + lost)


def corner_values(outputs: list[Row], sides: list[Row], c: Array) -> Iterator[Fraction]:
    """c·outputs at the vertices of {sides <= 0}."""
    coefficients, offset = mix(c, outputs)
    for active in combinations(sides, len(coefficients)):
        x = solve([(list(a), -o) for a, o in active])
        if x is not None and all(at(s, x) <= 0 for s in sides):
            yield at((coefficients, offset), x)


def solve(equations: list[Row]) -> list[Fraction] | None:
    """The one solution of `coefficients · x = end`, by Gauss and Jordan; None if there is not just one."""
    rows = [[*a, o] for a, o in equations]
    for i in range(len(rows)):
        pivot = next((k for k in range(i, len(rows)) if rows[k][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for k in range(len(rows)):
            if k != i:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


def mix(weights: Array, rows: list[Row]) -> Row:
    exact = [Fraction(float(w)) for w in weights]
    total = [sum((w * r[j] for w, (r, _) in zip(exact, rows, strict=True)), Fraction(0)) for j in range(len(rows[0][0]))]
    return total, sum((w * o for w, (_, o) in zip(exact, rows, strict=True)), Fraction(0))


def plus(row: Row, offset: float) -> Row:
    return row[0], row[1] + Fraction(float(offset))


def minus(a: Row, b: Row) -> Row:
    return [p - q for p, q in zip(a[0], b[0], strict=True)], a[1] - b[1]


def at(row: Row, x: list[Fraction]) -> Fraction:
    return sum((a * v for a, v in zip(row[0], x, strict=True)), row[1])
