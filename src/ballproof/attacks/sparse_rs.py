"""Sparse-RS: a random search over which pixels are moved, without gradients."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, chunks
from ballproof.attacks.findings import Findings
from ballproof.attacks.goal import Target
from ballproof.attacks.result import AttackResult
from ballproof.attacks.saliency import pixelwise
from ballproof.attacks.search import Task, attacked
from ballproof.attacks.settings import positive, whole
from ballproof.errors import InputError
from ballproof.problems import L0, Region

STAGES = (0, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
DIVISORS = (1, 2, 4, 5, 6, 8, 10, 12, 15, 20)
"""The share of pixels that change is divided by one after the other, from these queries of 10,000 on (Croce et al. 2022)."""


@dataclass(frozen=True)
class SparseRS:
    """Sparse-RS (Croce et al. 2022) on balls of L0: the network is asked for outputs alone, `queries` times an example.

    Of the moved pixels a part, `share` at first and less and less, goes back to the center, as many others go to an end of the
    valid range drawn for each channel (one that just went back may be among them), and the change stays if the margin does not
    grow.
    """

    queries: int = 2000
    share: float = 0.3
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("queries", 1), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)
        positive("share", self.share)
        if self.share > 1:
            raise InputError(f"`share` is {self.share}, expected a part of the moved pixels, at most 1")

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        pixelwise(region, "sparse-rs")
        return attacked(network, region, target, "margin", self.batch_size, partial(_hunt, self))


def part(query: int, settings: SparseRS) -> float:
    """Which part of the moved pixels changes in this query."""
    return settings.share / DIVISORS[bisect_left(STAGES, query * 10_000 // settings.queries)]


def _hunt(settings: SparseRS, task: Task, findings: Findings) -> None:
    """Draws are made for the whole batch at once, so that they do not depend on `batch_size`, nor on what is broken."""
    region, generator = pixelwise(task.region, "sparse-rs"), torch.Generator().manual_seed(settings.seed)
    count = region.reach.flatten().floor()
    moved = torch.zeros(region.batch, region.pixels, dtype=torch.bool, device=region.device)
    points, margins = region.center.clone(), torch.full((region.batch,), torch.inf, device=region.device)
    open_ = findings.unbroken()
    for query in range(settings.queries):
        if not len(open_):
            return
        change = (part(query, settings) * count).round().clamp(min=1).minimum(count) if query else count
        draws = tuple(draw[open_] for draw in _draws(region, generator))
        changed, tried = swapped(region[open_], moved[open_], points[open_], change[open_], draws)
        for rows in chunks(torch.arange(len(open_), device=open_.device), settings.batch_size):
            places, goal = open_[rows], task.goal[open_[rows]]
            outputs = ask(task.network, tried[rows])
            findings.offer(places, tried[rows], outputs, goal)
            found = goal.margins(outputs).to(margins)
            better = found <= margins[places]
            kept = places[better]
            margins[kept], points[kept], moved[kept] = found[better], tried[rows][better], changed[rows][better]
        open_ = open_[~findings.broken[open_]]


def _draws(region: L0, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Two random numbers for each pixel, and an end of the range for every coordinate."""
    orders = torch.rand(2, region.batch, region.pixels, generator=generator).to(region.device)
    ends = torch.randint(2, region.center.shape, generator=generator).bool().to(region.device)
    low, high = region.range
    return orders[0], orders[1], torch.where(ends, high, low)


def swapped(region: L0, moved: Tensor, points: Tensor, change: Tensor, draws: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """`change (batch,)` of the moved pixels go back, and as many join (at first none is moved, and `change` join)."""
    leave, enter, fresh = draws
    stay = moved & ~_least(leave.masked_fill(~moved, 2), change)
    joins = _least(enter.masked_fill(stay, 2), change)
    back = torch.where(region.spread(stay.unsqueeze(1)).squeeze(1), points, region.center)
    return stay | joins, torch.where(region.spread(joins.unsqueeze(1)).squeeze(1), fresh, back)


def _least(values: Tensor, count: Tensor) -> Tensor:
    """Where the `count (batch,)` least of each row of `values` stand."""
    most = min(int(count.max()), values.shape[1])
    places = values.topk(most, dim=1, largest=False).indices
    chosen = torch.arange(most, device=values.device) < count[:, None]
    return torch.zeros_like(values, dtype=torch.bool).scatter(1, places, chosen)
