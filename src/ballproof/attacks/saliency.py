"""A greedy attack on pixels, in the manner of the saliency maps of JSMA."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, chunks
from ballproof.attacks.findings import Findings
from ballproof.attacks.goal import Target
from ballproof.attacks.heads import heads
from ballproof.attacks.result import AttackResult
from ballproof.attacks.search import Task, attacked
from ballproof.attacks.settings import known_loss, whole
from ballproof.attacks.space import start
from ballproof.errors import InputError
from ballproof.problems import L0, Region


@dataclass(frozen=True)
class Saliency:
    """Pixel after pixel to an end of the valid range, each time the one that helps most: balls of L0.

    The gradient names `candidates` pixels and the end for each channel, as a saliency map does (Papernot et al. 2016); the
    network is asked about all of them, and the best one stays. Nothing in it is random; `seed` is taken so that all attacks
    are called alike. targets: 0, or how many classes are headed for one after the other, as in `APGD` (labels only).

    Price of an example that withstands: `max(1, targets) * eps * (candidates + 2)` passes.
    """

    candidates: int = 10
    targets: int = 3
    loss: str = "margin"
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("candidates", 1), ("targets", 0), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)
        known_loss(self.loss)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        pixelwise(region, "saliency")
        return attacked(network, region, target, self.loss, self.batch_size, partial(_hunt, self))


def pixelwise(region: Region, name: str) -> L0:
    """The region, if it is an L0 ball."""
    if not isinstance(region, L0):
        raise InputError(f"`{name}` attacks L0 balls, this region is a {region.norm}; use `apgd` or `auto`")
    return region


def _hunt(settings: Saliency, task: Task, findings: Findings) -> None:
    size = max(1, settings.batch_size // settings.candidates)
    for targets in heads(settings.targets, task, settings.batch_size):
        aimed = task if targets is None else task.aimed(targets)
        for places in chunks(findings.unbroken(), size):
            walk(aimed[places], settings, findings)


def walk(task: Task, settings: Saliency, findings: Findings) -> None:
    """Offers to `findings` the centers of the task with one pixel more at an end each time, up to eps pixels."""
    points = start(task.region)
    moved = torch.zeros(len(points), pixelwise(task.region, "saliency").pixels, dtype=torch.bool, device=points.device)
    for count in range(int(task.region.reach.max()) if len(points) else 0):  # type: ignore[attr-defined]
        alive = (~findings.broken[task.index] & (task.region.reach.flatten() >= count + 1)).nonzero().squeeze(1)  # type: ignore[attr-defined]
        if not len(alive) or count == moved.shape[1]:
            return
        task, points, moved = task[alive], points[alive], moved[alive]
        points, moved = further(task, points, moved, settings.candidates)
        findings.offer(task.index, points, ask(task.network, points), task.goal)


def further(task: Task, points: Tensor, moved: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """The points with the best of the candidates moved too, and which pixels are moved by then, `(batch, pixels)`."""
    region = pixelwise(task.region, "saliency")
    low, high = region.range
    _, gradient = task.look(points)
    down, up = gradient * (low - points), gradient * (high - points)
    best = torch.where(down < up, low, high)
    promise = -region.by_pixel(torch.minimum(down, up).unsqueeze(1)).squeeze(1)
    chosen = promise.masked_fill(moved, -torch.inf).topk(min(candidates, moved.shape[1]), dim=1).indices
    count, places = chosen.shape[1], torch.arange(len(points), device=points.device)
    masks = torch.zeros(len(points), count, moved.shape[1], dtype=torch.bool, device=points.device)
    masks.scatter_(2, chosen.unsqueeze(2), True)
    tried = torch.where(region.spread(masks), best.unsqueeze(1), points.unsqueeze(1))
    loss = task.goal[places.repeat_interleave(count)].descent(ask(task.network, tried.flatten(0, 1)))
    loss = loss.unflatten(0, (-1, count)).masked_fill(moved.gather(1, chosen), torch.inf)
    first = loss.argmin(1)
    return tried[places, first], moved | masks[places, first]
