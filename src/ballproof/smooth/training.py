"""Training under noise: what a step minimises, and the loop of `train/` with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.smooth.config import SmoothConfig
from ballproof.train.augment import augmented
from ballproof.train.loop import Trainer


class SmoothObjective(nn.Module):
    """Cross-entropy on noisy copies; with SmoothAdv's attack and the consistency term where they are asked for."""

    def __init__(self, config: SmoothConfig, module: nn.Module) -> None:
        super().__init__()
        self.config, self.module = config, module

    def forward(self, x: Tensor, y: Tensor, now: float) -> tuple[Tensor, Tensor, Tensor]:
        """(cross-entropy of the copies, the same, the loss with the consistency term). x: `(batch, *input)`."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + round(now * 1_000_000))
        x = augmented(x, config.augment, generator)
        if config.adversary_eps > 0:
            noise = [config.law.around(torch.zeros_like(x), generator) for _ in range(config.draws)]
            points = soft_attack(self.module, x, y, noise, config.adversary_eps_at(now), config.adversary_steps)
            copies = [points + z for z in noise]
        else:
            copies = [config.law.around(x, generator) for _ in range(config.draws)]
        answers = self.module(torch.cat(copies)).log_softmax(1).unflatten(0, (config.draws, len(y)))
        plain = F.nll_loss(answers.flatten(0, 1), y.repeat(config.draws))
        loss = plain
        if config.consistency > 0:
            loss = loss + config.consistency * divergence(answers) + config.entropy * entropy(answers)
        return plain.detach(), plain.detach(), loss


def mean_answer(answers: Tensor) -> Tensor:
    """Logarithm of the mean probability over the draws. answers: log-probabilities `(draws, batch, classes)`."""
    return answers.logsumexp(0) - math.log(len(answers))


def divergence(answers: Tensor) -> Tensor:
    """Mean of KL(mean answer || answer of a draw) over draws and batch (Jeong & Shin 2020, equation 8)."""
    mean = mean_answer(answers)
    return (mean.exp() * (mean - answers)).sum(2).mean()


def entropy(answers: Tensor) -> Tensor:
    """Mean over the batch of the entropy of the mean answer."""
    mean = mean_answer(answers)
    return -(mean.exp() * mean).sum(1).mean()


def soft_attack(module: nn.Module, x: Tensor, y: Tensor, noise: list[Tensor], eps: float, steps: int) -> Tensor:
    """Points of the L2 ball round x, cut with [0, 1], where the mean probability of y over the draws is small.

    PGD on -log mean_i softmax(f(x + noise_i))_y with the draws held fixed, in evaluation mode (Salman et al. 2019, equation 6).
    """
    training, moved = module.training, torch.zeros_like(x)
    module.eval()
    for _ in range(steps):
        moved = moved.detach().requires_grad_(True)
        with torch.enable_grad():
            copies = torch.cat([x + moved + z for z in noise])
            answers = module(copies).log_softmax(1).unflatten(0, (len(noise), len(y)))
            (slope,) = torch.autograd.grad(F.nll_loss(mean_answer(answers), y, reduction="sum"), moved)
        moved = moved.detach() + 2 * eps / steps * slope / _length(slope).clamp_min(1e-12)
        moved = moved * (eps / _length(moved).clamp_min(1e-12)).clamp_max(1.0)
        moved = (x + moved).clamp(0, 1) - x
    module.train(training)
    return (x + moved).detach()


def _length(x: Tensor) -> Tensor:
    sizes: Tensor = x.flatten(1).norm(dim=1)
    return sizes.view(-1, *[1] * (x.ndim - 1))


@dataclass
class SmoothTrainer(Trainer):
    """The loop of `train/` on noisy copies: checkpoints, log and resuming are the same."""

    smooth: SmoothConfig = field(default_factory=lambda: SmoothConfig(sigma=0.25))

    def _objective(self) -> nn.Module:
        return SmoothObjective(self.smooth, self.module)

    def _seen(self, inputs: Tensor) -> Tensor:
        return self.smooth.law.around(inputs, torch.Generator().manual_seed(self.smooth.seed * 1_000_003 + self.epoch))

    @torch.no_grad()
    def _validated(self) -> dict[str, Any]:
        """clean_error: without noise; noisy_error: of one noisy copy each. Estimates both."""
        training, wrong = self.module.training, {"clean_error": 0, "noisy_error": 0}
        self.module.eval()
        generator = torch.Generator().manual_seed(self.smooth.seed)
        for x, y in self.validation.batches(500):
            seen = {"clean_error": self.smooth.law.seen(x), "noisy_error": self.smooth.law.around(x, generator)}
            for name, inputs in seen.items():
                wrong[name] += int((self.module(inputs).argmax(1) != y).sum())
        self.module.train(training)
        return {name: count / len(self.validation) for name, count in wrong.items()}
