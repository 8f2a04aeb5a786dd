"""The linear program of one leaf, over the input alone: what splits say, and the query, as planes on the region.

Where a leaf leaves no neuron open its planes are the network itself, so the program decides the leaf: this is what makes
the search over neurons complete for piecewise linear networks.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ballproof.bounds.lp import l1_rows
from ballproof.bounds.program import Array, Program
from ballproof.bounds.solver import Solver
from ballproof.errors import BallproofError
from ballproof.problems import L1, Box, Linf, Region
from ballproof.solve.leaf_bounds import LeafBounds
from ballproof.solve.leaves import Leaves
from ballproof.values import Interval

REFUTED = 1e-7
"""By how much the splits of a leaf must contradict each other to be called impossible: beyond the solver's tolerance."""


def decided_by_lp(bounds: LeafBounds, leaf: Leaves, cuts: list[Tensor]) -> tuple[float, Tensor | None]:
    """A proven lower value of the largest row of the leaf's group, and the point where it is least.

    Infinite where the leaf holds no input, minus infinity where the region has no linear program (L2). leaf: a single one.
    cuts: by site, `(1, neurons)`, which neurons a split has cut.
    """
    if not isinstance(bounds.region, (Box, Linf, L1)):
        return float("-inf"), None
    planes, low, high = _planes(bounds, leaf, cuts)
    program, first = _region(bounds.region)
    program.at_least(sparse.csr_matrix(planes[0]), low)
    program.at_most(sparse.csr_matrix(planes[1]), high)
    try:
        if _contradiction(bounds.region, planes, low, high) > REFUTED:
            return float("inf"), None
        slopes, offsets = _pulled(bounds, leaf, bounds.graph.output, bounds.rows[leaf.group[0]])
        offsets = offsets + bounds.offsets[leaf.group[0]].double().numpy()
        value, point = _largest_row(program, first, slopes, offsets, _reach(bounds.region))
        return value, torch.from_numpy(point).to(bounds.rows).reshape(bounds.region.shape)
    except BallproofError:
        return float("-inf"), None


def _largest_row(program: Program, first: int, slopes: Array, offsets: Array, reach: float) -> tuple[float, Array]:
    """The least value that the largest of the rows takes, proven by multipliers, and the input where it is taken."""
    count = slopes.shape[1]
    size = float((np.abs(slopes).sum(1) * reach + np.abs(offsets)).max()) + 1.0
    ends = Interval(torch.full((1,), -size, dtype=torch.float64), torch.full((1,), size, dtype=torch.float64))
    top = program.variables(ends, "the largest row")
    wide = np.zeros((len(slopes), program.count))
    wide[:, first : first + count] = -slopes
    wide[:, top] = 1.0
    program.at_least(sparse.csr_matrix(wide), offsets)
    cost = np.zeros(program.count)
    cost[top] = 1.0
    solver = Solver(program)
    value = solver.minimum(cost)
    return value, np.asarray(solver.highs.getSolution().col_value)[first : first + count]


def _region(region: Region) -> tuple[Program, int]:
    program = Program()
    first = program.variables(region.box(), "the input")
    if isinstance(region, L1):
        l1_rows(program, region, first)
    return program, first


def _planes(bounds: LeafBounds, leaf: Leaves, cuts: list[Tensor]) -> tuple[tuple[Array, Array], Array, Array]:
    """Planes above and below the arguments of the split neurons, and the ends that they have to meet."""
    above, below, low, high = [], [], [], []
    for site, cut, a, b in zip(bounds.sites, cuts, leaf.low, leaf.high, strict=True):
        chosen = cut[0].nonzero().flatten()
        if not len(chosen):
            continue
        shape = bounds.graph.node[site.argument].shape
        unit = torch.zeros(len(chosen), int(torch.Size(shape).numel()), dtype=a.dtype)
        unit[torch.arange(len(chosen)), site.places[chosen]] = 1.0
        unit = unit.reshape(-1, *shape)
        slope, offset = _pulled(bounds, leaf, site.argument, -unit)
        above.append(-slope)
        low.append(a[0][chosen].double().numpy() + offset)
        slope, offset = _pulled(bounds, leaf, site.argument, unit)
        below.append(slope)
        high.append(b[0][chosen].double().numpy() - offset)
    if not above:
        none = np.zeros((0, bounds.region.like[0].numel()))
        return (none, none), np.zeros(0), np.zeros(0)
    return (np.concatenate(above), np.concatenate(below)), np.concatenate(low), np.concatenate(high)


def _pulled(bounds: LeafBounds, leaf: Leaves, name: str, rows: Tensor) -> tuple[Array, Array]:
    """Planes below the queries `(query, *node)`: slopes `(query, inputs)` and offsets."""
    walk = bounds.walk(leaf, multiplied=False)
    found = walk.pulled(name, rows.unsqueeze(0), both=False)
    count = rows.new_zeros(1, len(rows))
    slope = count.new_zeros(len(rows), bounds.region.like[0].numel()) if found is None else found.lower[0].flatten(1)
    return slope.double().numpy(), (count + walk.offset_lower)[0].double().numpy()


def _contradiction(region: Region, planes: tuple[Array, Array], low: Array, high: Array) -> float:
    """The least violation that some row must have: a proven lower value, above 0 where no input meets all rows."""
    if not len(low):
        return 0.0
    program, _ = _region(region)
    count = planes[0].shape[1]
    size = float(np.abs(low).max() + np.abs(high).max() + sum(np.abs(p).sum(1).max() for p in planes) * _reach(region)) + 1.0
    slack = program.variables(
        Interval(torch.zeros(1, dtype=torch.float64), torch.full((1,), 2 * size, dtype=torch.float64)), "slack"
    )
    for matrix, ends, sign in ((planes[0], low, 1.0), (planes[1], high, -1.0)):
        wide = np.zeros((len(ends), program.count))
        wide[:, :count] = matrix
        wide[:, slack] = sign
        (program.at_least if sign > 0 else program.at_most)(sparse.csr_matrix(wide), ends)
    cost = np.zeros(program.count)
    cost[slack] = 1.0
    return Solver(program).minimum(cost)


def _reach(region: Region) -> float:
    box = region.box()
    return float(torch.maximum(box.lower.abs(), box.upper.abs()).max())
