"""Projected gradient descent and its two elders: the basic iterative method and the fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ballproof.attacks.asking import Network
from ballproof.attacks.goal import Target
from ballproof.attacks.result import AttackResult
from ballproof.attacks.search import Plan, attacked, search
from ballproof.attacks.settings import fraction, known_loss, positive, whole
from ballproof.errors import InputError
from ballproof.problems import Region


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent (Madry et al. 2018) on a region of any norm.

    The region's center is asked first; then each restart walks `steps` steepest steps of the region's norm, each
    followed by the projection onto ball and valid range. More restarts never give a weaker result with the same seed.

    step_size: the length of a step in units of eps (of each coordinate's own eps; of half the width of a `Box`); None
    is `2.5 / steps`, with which a walk can cross the ball and come back to any face.
    random_start: each restart starts at a random point of the region; else there is one walk, from the center.
    loss: `margin` (the margin itself), or with labels `cross-entropy` or `dlr` (the margin over the spread of the logits).
    momentum: the share in [0, 1) of the former direction that is kept (MI-FGSM, Dong et al. 2018).
    diversify: how many steps each walk first takes towards random outputs, so that restarts spread in what the network says
    and not in pixels alone (ODI, Tashiro et al. 2020; 2 there).
    seed: starts a generator of the attack's own; torch's global one is not touched.
    batch_size: how many examples are asked at once; results do not depend on it beyond rounding.
    early_stop: an example leaves the search with the first point that breaks it; without it every example is walked to
    the end and the worst point met is kept, as adversarial training wants it.

    Price of an example that withstands: `restarts * (steps + 1) + 2` forward and `restarts * steps` backward passes; of
    one that is broken at the center: 2 forward passes. `diversify` adds as many of both to each restart.
    """

    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: str = "margin"
    momentum: float = 0.0
    seed: int = 0
    batch_size: int = 1000
    early_stop: bool = True
    diversify: int = 0

    def __post_init__(self) -> None:
        whole("diversify", self.diversify, 0)
        whole("steps", self.steps, 1)
        whole("restarts", self.restarts, 1)
        whole("seed", self.seed, 0)
        whole("batch_size", self.batch_size, 1)
        fraction("momentum", self.momentum)
        known_loss(self.loss)
        if self.step_size is not None:
            positive("step_size", self.step_size)
        if self.restarts > 1 and not self.random_start and not self.diversify:
            raise InputError(f"`restarts` = {self.restarts} needs `random_start`: without it every restart is the same")

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        step = 2.5 / self.steps if self.step_size is None else self.step_size
        chance = (self.restarts, self.random_start, self.momentum, self.seed)
        plan = Plan(self.steps, step, *chance, self.batch_size, self.early_stop, self.diversify)
        return attacked(network, region, target, self.loss, self.batch_size, partial(search, plan=plan))


def BIM(
    steps: int = 40,
    step_size: float | None = None,
    loss: str = "margin",
    momentum: float = 0.0,
    seed: int = 0,
    batch_size: int = 1000,
    early_stop: bool = True,
) -> PGD:
    """The basic iterative method (Kurakin et al. 2017): `PGD` once, from the region's center.

    Nothing in it is random; `seed` is taken so that all iterative attacks are called alike. Settings as in `PGD`.
    """
    return PGD(steps, step_size, 1, False, loss, momentum, seed, batch_size, early_stop)


@dataclass(frozen=True)
class FGSM:
    """The fast gradient method (Goodfellow et al. 2015): one steepest step of length eps from the region's center.

    In Linf that step is the sign of the gradient, and exact for a linear network, cut with a valid range or not. In L2
    and L1 it is exact for a linear network and the plain ball. Settings as in `PGD`.
    """

    loss: str = "margin"
    batch_size: int = 1000

    def __post_init__(self) -> None:
        whole("batch_size", self.batch_size, 1)
        known_loss(self.loss)

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        plan = Plan(1, 1.0, 1, False, 0.0, 0, self.batch_size)
        return attacked(network, region, target, self.loss, self.batch_size, partial(search, plan=plan))
