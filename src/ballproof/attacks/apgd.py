"""Auto-PGD: projected gradient steps with momentum, whose length is halved where progress stalls."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, chunks
from ballproof.attacks.findings import Findings
from ballproof.attacks.goal import Target
from ballproof.attacks.heads import heads
from ballproof.attacks.result import AttackResult
from ballproof.attacks.search import Task, attacked
from ballproof.attacks.settings import known_loss, whole
from ballproof.attacks.space import reach, useful
from ballproof.problems import Region
from ballproof.problems.region import across

FIRST, SHRINKAGE, LEAST = 0.22, 0.03, 0.06
"""The first checkpoint, and how the share of steps between checkpoints falls, and to what (Croce & Hein 2020, section 3)."""

ROUNDED = 1e-6
"""The shares are sums of decimals: 0.57 * 100 must not become 58."""

RISES = 0.75
"""A step length is kept while at least this share of the steps since the last checkpoint made the loss better."""

MOMENTUM = 0.75
"""The weight of the new step against the former one."""


@dataclass(frozen=True)
class APGD:
    """Auto-PGD (Croce & Hein 2020, algorithm 1) on a region of any norm; nothing about the step has to be chosen.

    Steps start at twice the radius. At checkpoints that come closer and closer an example whose loss got better in fewer than
    three quarters of the steps, or whose best loss and step length are both unchanged since the last checkpoint, goes on from
    its best point with half the step. The region's center is asked first; each restart starts at a random point.

    loss: `cross-entropy`, `dlr` or `margin` (a `Property` needs `margin`). targets: 0, or how many classes are headed for one
    after the other, from the likeliest at the center on (labels only; classes that are not there are left out).
    seed, batch_size, early_stop: as in `PGD`.

    Price of an example that withstands: `restarts * max(1, targets) * (steps + 1)` passes forward and backward.
    """

    steps: int = 100
    restarts: int = 1
    loss: str = "cross-entropy"
    targets: int = 0
    seed: int = 0
    batch_size: int = 1000
    early_stop: bool = True

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("restarts", 1), ("targets", 0), ("seed", 0), ("batch_size", 1)):
            whole(name, getattr(self, name), least)
        known_loss(self.loss)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        return attacked(network, region, target, self.loss, self.batch_size, partial(_hunt, self))


def checkpoints(steps: int) -> list[int]:
    """The steps after which the step length is judged, in order."""
    shares = [0.0, FIRST]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - SHRINKAGE, LEAST))
    ends = [math.ceil(share * steps - ROUNDED) for share in shares[1:]]
    return sorted({end for end in ends if end <= steps})


@dataclass(eq=False)
class Walkers:
    """Where each walk stands; every tensor has the batch first. Losses are those that fall; size is in units of the radius."""

    index: Tensor
    points: Tensor
    former: Tensor
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    size: Tensor
    rises: Tensor
    halved: Tensor
    best_then: Tensor

    def __getitem__(self, alive: Tensor) -> Walkers:
        return Walkers(**{f.name: getattr(self, f.name)[alive] for f in fields(self)})

    def stepped(self, points: Tensor, loss: Tensor, gradient: Tensor) -> None:
        """Takes the walk to the next points."""
        self.rises += loss < self.loss
        self.former, self.points, self.loss, self.gradient = self.points, points, loss, gradient
        better = loss < self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best = torch.where(across(better, points), points, self.best)
        self.best_gradient = torch.where(across(better, points), gradient, self.best_gradient)

    def judge(self, period: int) -> None:
        """Halves the steps of walks that stalled in the last `period` steps, and takes those walks back to their best."""
        idle = ~self.halved & (self.best_loss >= self.best_then)
        stalled = (self.rises < RISES * period) | idle
        self.size = torch.where(stalled, self.size / 2, self.size)
        back = across(stalled, self.points)
        self.points = torch.where(back, self.best, self.points)
        self.former = torch.where(back, self.best, self.former)
        self.gradient = torch.where(back, self.best_gradient, self.gradient)
        self.loss = torch.where(stalled, self.best_loss, self.loss)
        self.halved, self.best_then, self.rises = stalled, self.best_loss, torch.zeros_like(self.rises)


def _hunt(settings: APGD, task: Task, findings: Findings) -> None:
    generator = torch.Generator().manual_seed(settings.seed)
    turns = heads(settings.targets, task, settings.batch_size)
    for _ in range(settings.restarts):
        for targets in turns:
            points = task.region.sample(generator)
            pending = findings.unbroken() if settings.early_stop else task.index
            aimed = task if targets is None else task.aimed(targets)
            for places in chunks(pending, settings.batch_size):
                walk(aimed[places], points[places], settings, findings)


def walk(task: Task, points: Tensor, settings: APGD, findings: Findings) -> None:
    """Offers to `findings` every point of one walk from `points`, `(len(task.index), *input)`."""
    outputs, gradient = task.look(points)
    findings.offer(task.index, points, outputs, task.goal)
    loss = task.goal.descent(outputs)
    none = torch.zeros_like(loss)
    now = Walkers(
        torch.arange(len(points), device=points.device), points, points, gradient, loss, points, gradient, loss,
        none + 2, none, none.bool(), loss,
    )  # fmt: skip
    marks, last, aim = checkpoints(settings.steps), 0, task
    for step in range(1, settings.steps + 1):
        if settings.early_stop:
            alive = (~findings.broken[aim.index]).nonzero().squeeze(1)
            if not len(alive):
                return
            if len(alive) < len(now.index):
                now = now[alive]
                aim = task[now.index]
        points = moved(aim.region, now, 1.0 if step == 1 else MOMENTUM)
        outputs, gradient = aim.look(points)
        findings.offer(aim.index, points, outputs, aim.goal)
        now.stepped(points, aim.goal.descent(outputs), gradient)
        if step in marks:
            now.judge(step - last)
            last = step


def moved(region: Region, now: Walkers, share: float) -> Tensor:
    """The next points: a steepest step, projected, of which `share` is taken, and of the former step the rest; projected."""
    descent = -region.step(useful(region, now.points, now.gradient))
    target = region.project(now.points + across(now.size, now.points) * reach(region) * descent)
    if share == 1:
        return target
    return region.project(now.points + share * (target - now.points) + (1 - share) * (now.points - now.former))
