"""Where a leaf is cut: what the relaxation of each neuron loses, at which one it is cut best, and the two children."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ballproof.solve.leaf_bounds import Evaluation, LeafBounds
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.marks import Mark, marked
from ballproof.values import Interval

EDGE = 0.1
"""The share of an interval that a cut at an inflection leaves on either side at least."""


def losses(sites: list[Site], leaves: Leaves, seen: Evaluation) -> tuple[Tensor, Tensor]:
    """How much the relaxation loses at each neuron, all sites in one row, and the place where it would be cut.

    What a joint function loses by an argument counts at its mark, and at the neuron whose value the argument is.
    """
    scores, points = list[Tensor](), list[Tensor]()
    for number, (site, free, at) in enumerate(zip(sites, leaves.free, seen.at, strict=True)):
        if isinstance(site.operation, Mark):
            x = marked(leaves, sites, number)
            score, point = (
                (seen.sway[number] * (x.upper - x.lower)).masked_fill(x.lower >= x.upper, -1.0).clamp(max=1e30),
                x.center,
            )
            if site.ahead is not None and site.shared is not None:
                mine, theirs = site.shared
                scores[site.ahead].index_add_(1, theirs, score[:, mine] * (scores[site.ahead][:, theirs] > 0))
        else:
            score, point = loss_at(site, Interval(leaves.low[number], leaves.high[number]), free, at)
        scores.append(score)
        points.append(point)
    return torch.cat(scores, 1), torch.cat(points, 1)


def chosen(bounds: LeafBounds, leaves: Leaves, seen: Evaluation, candidates: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where each leaf is cut best: which leaves can be cut, which cannot, and of the former the neuron and the place.

    The children at some candidates are bounded, in single precision, before one is chosen (filtered smart branching, De Palma
    et al. 2021).
    """
    scores, points = losses(bounds.sites, leaves, seen)
    values, choice = scores.topk(min(candidates, scores.shape[1]), 1)
    left, whole = (values[:, 0] > 0).nonzero().flatten(), (~(values[:, 0] > 0)).nonzero().flatten()
    leaves, choice, values, points = leaves[left], choice[left], values[left], points[left].gather(1, choice[left])
    best = torch.zeros_like(left)
    if choice.shape[1] > 1 and len(left):
        quick = leaves.to(bounds.scout.rows.dtype)
        gains = []
        for k in range(choice.shape[1]):
            pair = children(bounds.sites, quick, choice[:, k], points[:, k].to(quick.bound))
            found = torch.maximum(bounds.scout.evaluate(pair).values.reshape(2, -1), quick.bound)
            gain = found.amin(0) + 1e-3 * found.amax(0).clamp(max=0)
            gains.append(gain.masked_fill(values[:, k] <= 0, -torch.inf))
        best = torch.stack(gains, 1).argmax(1)
    own = best.unsqueeze(1)
    return left, whole, choice.gather(1, own).squeeze(1), points.gather(1, own).squeeze(1)


def children(sites: list[Site], leaves: Leaves, choice: Tensor, point: Tensor) -> Leaves:
    """Below and above the point of the chosen neuron, first all lower children."""
    low, high, start = [list(leaves.low), list(leaves.low)], [list(leaves.high), list(leaves.high)], 0
    for i, site in enumerate(sites):
        own = choice - start
        mine = (own >= 0) & (own < len(site.places))
        start += len(site.places)
        if not bool(mine.any()):
            continue
        rows, columns = mine.nonzero().flatten(), own[mine]
        high[0][i] = leaves.high[i].clone()
        high[0][i][rows, columns] = point[mine]
        low[1][i] = leaves.low[i].clone()
        low[1][i][rows, columns] = point[mine]
    parts = [replace(leaves, low=tuple(a), high=tuple(b), age=leaves.age + 1) for a, b in zip(low, high, strict=True)]
    return Leaves.joined(parts)


def loss_at(site: Site, x: Interval, free: tuple[Tensor, ...], at: Tensor) -> tuple[Tensor, Tensor]:
    """What the line in use loses at the place of the cut and at the better end, times the cotangent; and that place."""
    lines = site.operation.relax(x, *site.constants, slope=free)
    line = [
        torch.where(at >= 0, a, b)
        for a, b in zip((*lines.lower.slopes, lines.lower.offset), (*lines.upper.slopes, lines.upper.offset), strict=True)
    ]
    point = branch_point(site, x)
    gap = [(site.operation.forward(p, *site.constants) - line[0] * p - line[1]).abs() for p in (point, x.lower, x.upper)]
    score = at.abs() * (gap[0] + torch.minimum(gap[1], gap[2]))
    inside = (point > x.lower) & (point < x.upper) & site.operation.unsettled(x, *site.constants)[0]
    return score.masked_fill(~inside, -1.0).clamp(max=1e30) + inside * 1e-12, point


def branch_point(site: Site, x: Interval) -> Tensor:
    """The first break inside the interval, as between breaks a function bends one way, else its middle.

    An inflection next to an end is passed over: one child would be left with nearly all of the interval.
    """
    point, width = x.center, x.upper - x.lower
    for place, turn in reversed(site.operation.breaks):
        edge = torch.zeros_like(width) if turn else EDGE * width
        inside = (x.lower + edge < place) & (x.upper - edge > place)
        point = torch.where(inside, torch.full_like(point, place), point)
    return point
