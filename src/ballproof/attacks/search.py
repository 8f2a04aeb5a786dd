"""What searches share, and the walk of `PGD`, `BIM` and `FGSM`: steepest steps of the region's norm, each projected back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, chunks, evaluating, slope
from ballproof.attacks.findings import Findings
from ballproof.attacks.goal import Goal, Misclassify, Target, goal_of
from ballproof.attacks.recheck import recheck
from ballproof.attacks.result import AttackResult
from ballproof.attacks.space import reach, start, useful
from ballproof.problems import Region


@dataclass(frozen=True)
class Plan:
    """How a search walks: `step` in units of eps, the rest as in `PGD`."""

    steps: int
    step: float
    restarts: int
    random_start: bool
    momentum: float
    seed: int
    batch_size: int
    early_stop: bool = True
    diversify: int = 0


@dataclass(frozen=True, eq=False)
class Task:
    """A network that is to be broken on some examples, and their places `index` in the whole batch."""

    network: Network
    region: Region
    goal: Goal
    index: Tensor

    def __getitem__(self, places: Tensor) -> Task:
        return Task(self.network, self.region[places], self.goal[places], self.index[places])

    def aimed(self, targets: Tensor) -> Task:
        """The same, heading for the classes `targets (batch,)`."""
        assert isinstance(self.goal, Misclassify)
        return Task(self.network, self.region, self.goal.headed(targets), self.index)

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs at `points`, and the gradient of the loss there."""
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            outputs = ask(self.network, leaf)
            return outputs.detach(), slope(self.goal.descent(outputs), leaf)


Hunt = Callable[[Task, Findings], None]
"""A search: offers to the findings, which hold every center, the points that it meets."""


def attacked(network: Network, region: Region, target: Target, loss: str, batch_size: int, hunt: Hunt) -> AttackResult:
    """Asks the centers, hunts, and checks every point again outside the search."""
    with torch.inference_mode(False), torch.no_grad(), evaluating(network):
        goal = goal_of(target, region, loss)
        task = Task(network, region, goal, torch.arange(region.batch, device=region.device))
        center = start(region)
        findings = Findings(center)
        for places in chunks(task.index, batch_size):
            findings.offer(places, center[places], ask(network, center[places]), goal[places])
        hunt(task, findings)
    return recheck(network, region, goal, findings.points, batch_size)


def search(task: Task, findings: Findings, plan: Plan) -> None:
    """The best points of all restarts. Examples that are broken are left out of what follows."""
    generator = torch.Generator().manual_seed(plan.seed)
    for _ in range(plan.restarts):
        points = task.region.sample(generator) if plan.random_start else start(task.region)
        aims = _aims(task, points, generator) if plan.diversify else points
        pending = findings.unbroken() if plan.early_stop else task.index
        for places in chunks(pending, plan.batch_size):
            part = task[places]
            walk(part, diversified(part, points[places], aims[places], plan.diversify), plan, findings)


def diversified(task: Task, points: Tensor, aims: Tensor, steps: int) -> Tensor:
    """The points after steps as long as the radius, uphill on `aims · outputs`, aims `(batch, outputs)` (Tashiro 2020)."""
    for _ in range(steps):
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            uphill = slope((aims * ask(task.network, leaf).flatten(1)).sum(1), leaf)
        points = task.region.project(points + reach(task.region) * task.region.step(uphill))
    return points


def _aims(task: Task, points: Tensor, generator: torch.Generator) -> Tensor:
    """A random direction of the outputs for each example, uniform in [-1, 1]."""
    count = ask(task.network, points[:1]).numel() if len(points) else 0
    return (2 * torch.rand(len(points), count, generator=generator, dtype=points.dtype) - 1).to(points.device)


def walk(task: Task, points: Tensor, plan: Plan, findings: Findings) -> None:
    """Offers to `findings` every point of one walk from `points`, `(len(task.index), *input)`."""
    velocity = torch.zeros_like(points)
    for _ in range(plan.steps):
        outputs, gradient = task.look(points)
        broken = findings.offer(task.index, points, outputs, task.goal)
        if plan.early_stop and bool(broken.any()):
            alive = (~broken).nonzero().squeeze(1)
            task, points, velocity, gradient = task[alive], points[alive], velocity[alive], gradient[alive]
        if not len(task.index):
            return
        velocity = plan.momentum * velocity + _unit(gradient)
        ascent = task.region.step(useful(task.region, points, velocity))
        points = task.region.project(points - plan.step * reach(task.region) * ascent)
    findings.offer(task.index, points, ask(task.network, points), task.goal)


def _unit(gradient: Tensor) -> Tensor:
    """The gradient with mean absolute value 1 for each example, so that momentum weighs all steps alike; zeros stay."""
    size = gradient.abs().flatten(1).mean(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))
