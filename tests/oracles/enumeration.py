"""The exact minimum of a small network over a polytope: one linear program for each activation pattern that occurs.

Depth first, coordinate by coordinate in layer order: choose the candidate that is the maximum, add what that says of the
input, and go on if some input still satisfies it all. Prices grow with the number of linear regions; for nets with up to
about fifteen neurons and four inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import linprog

from oracles.maxnet import Affine, Array, Layers


@dataclass(frozen=True)
class Polytope:
    """All x with lower <= x <= upper and rows x <= ends."""

    lower: Array
    upper: Array
    rows: Array
    ends: Array

    def also(self, rows: Array, ends: Array) -> Polytope:
        return Polytope(self.lower, self.upper, np.vstack([self.rows, rows]), np.concatenate([self.ends, ends]))

    def minimum(self, c: Array) -> float | None:
        """min c·x, None if there is no such x."""
        found = linprog(c, self.rows, self.ends, bounds=np.stack([self.lower, self.upper], 1), method="highs")
        if found.status not in (0, 2):
            raise RuntimeError(f"linprog: {found.message}")
        return None if found.status == 2 else float(found.fun)

    def over_box(self, c: Array) -> float:
        """A lower value of c·x, from the box alone."""
        return float(np.where(c > 0, self.lower, self.upper) @ c)


def box(lower: Array, upper: Array) -> Polytope:
    return Polytope(lower, upper, np.zeros((0, len(lower))), np.zeros(0))


def l1_ball(center: Array, eps: float, lower: Array, upper: Array) -> Polytope:
    """The ball of radius eps cut with a range; one row for each of the 2^n signs."""
    signs = np.array(list(product([-1.0, 1.0], repeat=len(center))))
    return Polytope(np.maximum(lower, center - eps), np.minimum(upper, center + eps), signs, eps + signs @ center)


def minimum(net: Layers, region: Polytope, c: Array) -> float:
    """The least value of c·net(x) on the region."""
    size = len(region.lower)
    found = [(part.minimum(c @ A), c @ b) for A, b, part in patterns(net, region, np.eye(size), np.zeros(size))]
    return min(least + offset for least, offset in found if least is not None)


def patterns(net: Layers, region: Polytope, A: Array, b: Array) -> Iterator[tuple[Array, Array, Polytope]]:
    """The linear regions, each with the affine map `A x + b` that the network is on it."""
    if not net:
        yield A, b, region
        return
    first, *rest = net
    if isinstance(first, Affine):
        yield from patterns(rest, region, first.matrix @ A, first.matrix @ b + first.offset)
        return
    for rows, offsets, part in choices([(c @ A, c @ b) for c in first.candidates], region):
        yield from patterns(rest, part, rows, offsets)


def choices(maxima: list[tuple[Array, Array]], region: Polytope) -> Iterator[tuple[Array, Array, Polytope]]:
    """The ways to pick a winner for each maximum of (rows, offsets), with the inputs for which all of them win."""
    if not maxima:
        yield np.zeros((0, len(region.lower))), np.zeros(0), region
        return
    (rows, offsets), *rest = maxima
    for k in range(len(rows)):
        lead, ahead = np.delete(rows, k, 0) - rows[k], np.delete(offsets, k) - offsets[k]
        if any(region.over_box(r) + o > 0 for r, o in zip(lead, ahead, strict=True)):
            continue
        part = region
        if any(-region.over_box(-r) + o > 0 for r, o in zip(lead, ahead, strict=True)):
            part = region.also(lead, -ahead)
            if part.minimum(np.zeros(len(region.lower))) is None:
                continue
        for others, ends, left in choices(rest, part):
            yield np.vstack([rows[k], others]), np.concatenate([offsets[k : k + 1], ends]), left
