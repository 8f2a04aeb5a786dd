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
        change = (part(query, settings) * count).round().clamp(min=1).minimum(count) if query else count
        leave, enter, fresh = _draws(region, generator)
        if not len(open_):
            return
        changed, tried = swapped(region, moved, points, change, (leave, enter, fresh))
        for places in chunks(open_, settings.batch_size):
            outputs, goal = ask(task.network, tried[places]), task.goal[places]
            findings.offer(places, tried[places], outputs, goal)
            found = goal.margins(outputs)
            better = places[found <= margins[places]]
            margins[better] = found[found <= margins[places]].to(margins)
            points[better], moved[better] = tried[better], changed[better]
        open_ = open_[~findings.broken[open_]]


def _draws(region: L0, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two random orders of the pixels, and an end of the range for every coordinate."""
    orders = torch.rand(2, region.batch, region.pixels, generator=generator).to(region.device)
    ends = torch.randint(2, region.center.shape, generator=generator).bool().to(region.device)
    low, high = region.range
    return orders[0], orders[1], torch.where(ends, high, low)


def swapped(
    region: L0, moved: Tensor, points: Tensor, change: Tensor, draws: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """`change (batch,)` of the moved pixels go back, and pixels join until as many are moved as before (all, at first)."""
    leave, enter, fresh = draws
    stay = moved & (_rank(leave.masked_fill(~moved, 2)) >= change[:, None])
    joins = _rank(enter.masked_fill(stay, 2)) < change[:, None]
    back = torch.where(region.spread(stay.unsqueeze(1)).squeeze(1), points, region.center)
    return stay | joins, torch.where(region.spread(joins.unsqueeze(1)).squeeze(1), fresh, back)


def _rank(values: Tensor) -> Tensor:
    return values.argsort(1).argsort(1)
