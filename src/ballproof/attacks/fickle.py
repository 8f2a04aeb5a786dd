"""Networks that answer one input in two ways: refused, and the way out, the mean of many answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, evaluating
from ballproof.attacks.settings import whole
from ballproof.errors import InputError

ROUNDING = 1e-4
"""Two answers may differ by so much of the largest output: the order of sums may change from call to call, in float32."""


def refuse_random(network: Network, points: Tensor) -> None:
    """Raises `InputError` where two calls in evaluation mode give answers that differ by more than rounding.

    An attack on such a network would take luck for success. Price: two forward passes of `points (batch, *input)`.
    """
    with torch.no_grad(), evaluating(network):
        first, second = ask(network, points), ask(network, points)
    if not first.numel() or float((first - second).abs().max()) <= ROUNDING * max(1e-30, float(first.abs().max())):
        return
    raise InputError(
        "`network` gives two answers to one input, in evaluation mode: it draws random numbers (a functional dropout without "
        "`training=self.training`, noise). Switch it off, or attack the mean of its answers, `ballproof.attacks.Mean(network)`"
    )


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of `samples` answers of a random network, with torch's random numbers seeded in each call: a fixed function.

    Its gradient is that of the expectation, as estimated from these samples (Athalye et al. 2018), so every attack runs on it.
    What is found holds for this mean, not for a single random answer. torch's generators are left as they were.
    """

    network: Network
    samples: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        whole("samples", self.samples, 1)
        whole("seed", self.seed, 0)

    def __call__(self, points: Tensor) -> Tensor:
        with evaluating(self.network), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(self.seed)
            return torch.stack([self.network(points) for _ in range(self.samples)]).mean(0)
