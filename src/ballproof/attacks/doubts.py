"""Checks of an attack's own strength (Carlini et al. 2019): signs that a network hides its weakness instead of having none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, evaluating, slope
from ballproof.attacks.fickle import refuse_random
from ballproof.attacks.findings import Findings
from ballproof.attacks.goal import Misclassify, goal_of
from ballproof.attacks.pgd import PGD
from ballproof.attacks.search import Task, attacked
from ballproof.attacks.space import start
from ballproof.errors import InputError
from ballproof.problems import Region, ball
from ballproof.problems.region import across

Clip = tuple[float, float] | None

FEW = 0.02
"""Differences of this share of the examples are taken for chance."""

MANY = 0.1
"""So many examples without a gradient, or with a loss that cannot fall, leave an attack blind."""

RADII, STEPS, RESTARTS = (0.5, 1.0, 2.0, 4.0), (3, 10, 40), (1, 4, 8)


@dataclass(frozen=True)
class Check:
    """One question to an attack: its `name`, whether the answer is `suspicious`, and the `figures` behind it."""

    name: str
    suspicious: bool
    figures: dict[str, float]

    def __str__(self) -> str:
        told = ", ".join(f"{key} {value:.4g}" for key, value in self.figures.items())
        return f"{'suspicious' if self.suspicious else 'ok':<10} {self.name}: {told}"


def checks(
    network: Network,
    x: Tensor,
    y: Tensor,
    eps: float,
    norm: str = "linf",
    clip: Clip = (0.0, 1.0),
    loss: str = "margin",
    seed: int = 0,
    queries: int = 200,
) -> list[Check]:
    """What PGD with this loss should show on a network that hides nothing, asked of the examples x, y.

    `eps`: more is broken in larger balls, and everything in a ball as large as the valid range. `steps`: walks from the center
    reach smaller margins than it has, and more steps break no less. `restarts`: they never find less, and the last ones hardly
    anything more (else one walk is not enough). `black-box`: a random search without gradients (`queries`) breaks nothing that
    PGD leaves standing. `gradients`: of the loss, by the input, they are not zero. `saturation`: the softmax does not give the
    label a probability of 1, where the cross-entropy has no slope. Suspicious means that an attacked accuracy of this network
    should not be believed, not that it is wrong; ok means that these signs are missing, not that the network is robust.
    Examples that are wrong already are left out.
    """
    checkable(norm)
    refuse_random(network, x[:8])
    region = ball(norm, x, eps, clip)
    with torch.no_grad(), evaluating(network):
        goal = goal_of(y, region, loss)
        right = (~goal.broken(ask(network, start(region)))).nonzero().squeeze(1)
    region, y = region[right], y[right]
    if not len(right):
        return []
    walk = PGD(loss=loss, seed=seed, early_stop=False)
    looked = network, region, y
    found = [_radii(network, region, y, walk), _steps(*looked, walk), _restarts(*looked, walk)]
    found.append(_black_box(*looked, walk, queries))
    return found + _slopes(*looked, loss)


def checkable(norm: str) -> None:
    """Raises `InputError` for L0, where PGD is too weak to be asked."""
    if norm == "l0":
        raise InputError("`checks` ask PGD, which is weak in l0: take linf, l2 or l1, and compare `saliency` with `sparse-rs`")


def _radii(network: Network, region: Region, y: Tensor, walk: PGD) -> Check:
    figures = {}
    for factor in RADII:
        figures[f"broken at {factor:g} eps"] = walk(network, _scaled(region, factor), y).rate
    rates = list(figures.values())
    falls = any(later < earlier - FEW for earlier, later in pairwise(rates))
    bounded = getattr(region, "clip", None) is not None
    if bounded:
        widest = replace(walk, restarts=4, early_stop=True)(network, _whole(region), y).rate
        figures["broken in the whole range"] = widest
    return Check("eps", falls or (bounded and widest < 1 - FEW), figures)


def _steps(network: Network, region: Region, y: Tensor, walk: PGD) -> Check:
    with torch.no_grad(), evaluating(network):
        before = goal_of(y, region, walk.loss).margins(ask(network, start(region)))
    found = [replace(walk, steps=steps, random_start=False)(network, region, y) for steps in STEPS]
    figures = {"mean margin at the center": float(before.mean())}
    figures |= {f"after {s} steps": float(f.margins.mean()) for s, f in zip(STEPS, found, strict=True)}
    moved = float((found[-1].margins < before).double().mean())
    return Check("steps", found[-1].rate < found[0].rate - FEW or moved < 1 - MANY, figures | {"share that moved": moved})


def _restarts(network: Network, region: Region, y: Tensor, walk: PGD) -> Check:
    rates = [replace(walk, restarts=count, early_stop=True)(network, region, y).rate for count in RESTARTS]
    figures = {f"broken with {count}": rate for count, rate in zip(RESTARTS, rates, strict=True)}
    return Check("restarts", rates[-1] < rates[0] or rates[-1] > rates[-2] + FEW, figures)


def _black_box(network: Network, region: Region, y: Tensor, walk: PGD, queries: int) -> Check:
    white = replace(walk, restarts=2, early_stop=True)(network, region, y).success
    black = random_search(network, region, y, queries, walk.seed)
    share = float((black & ~white).double().mean())
    figures = {"white box": float(white.double().mean()), "black box": float(black.double().mean()), "only black box": share}
    return Check("black-box", share > FEW, figures)


def random_search(network: Network, region: Region, y: Tensor, queries: int, seed: int = 0) -> Tensor:
    """Which examples, `(batch,)`, a search without gradients breaks: random parts of the best point are drawn anew."""

    def hunt(task: Task, findings: Findings) -> None:
        generator = torch.Generator().manual_seed(seed)
        for query in range(queries):
            fresh = task.region.sample(generator)
            share = torch.rand((), generator=generator) * max(0.02, 1 - query / queries)
            mask = torch.rand(fresh.shape, generator=generator).to(fresh.device) < share
            points = task.region.project(torch.where(mask, fresh, findings.points)) if query else fresh
            findings.offer(task.index, points, ask(task.network, points), task.goal)

    return attacked(network, region, y, "margin", max(1, region.batch), hunt).success


def _slopes(network: Network, region: Region, y: Tensor, loss: str) -> list[Check]:
    """`gradients` and `saturation`, at the centers."""
    goal = goal_of(y, region, loss)
    assert isinstance(goal, Misclassify)
    with torch.inference_mode(False), torch.enable_grad(), evaluating(network):
        leaf = start(region).detach().clone().requires_grad_()
        outputs = ask(network, leaf)
        size = slope(goal.descent(outputs), leaf).abs().flatten(1).amax(1)
    certain = outputs.detach().softmax(1).gather(1, goal.labels[:, None]).squeeze(1)
    blind, full = float((size == 0).double().mean()), float((certain == 1).double().mean())
    return [
        Check(
            "gradients", blind > MANY, {"share without a gradient": blind, "median of the largest entry": float(size.median())}
        ),
        Check("saturation", full > MANY, {"share with a probability of 1": full, "mean probability": float(certain.mean())}),
    ]


def _scaled(region: Region, factor: float) -> Region:
    assert hasattr(region, "reach") and hasattr(region, "clip")
    return ball(region.norm, start(region), factor * region.reach, region.clip)


def _whole(region: Region) -> Region:
    """The ball that holds the whole valid range."""
    assert hasattr(region, "ends")
    low, high = region.ends
    width = (high - low).expand(region.like.shape).flatten(1).double()
    length = {"linf": width.amax(1), "l2": width.norm(dim=1), "l1": width.sum(1)}[region.norm]
    radius = across(length * (1 + math.ulp(1.0)), region.like).to(region.dtype)
    return ball(region.norm, start(region), radius, region.clip)  # type: ignore[attr-defined]
