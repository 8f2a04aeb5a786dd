"""Adversarial points for a step of training: a short walk in a box, as cheap as can be. They prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ballproof.values import Interval


def walked(ask: Callable[[Tensor], Tensor], box: Interval, steps: int, size: float, generator: torch.Generator) -> Tensor:
    """Where a walk uphill of `ask` ends: `ask` takes points `(n, *input)` to losses `(n,)` of each alone.

    The walk starts at a uniform point of the box; each step moves every coordinate by `size` times half of its width, so one
    step of size 2 ends in a corner. Source: Madry et al. 2018. Price: a forward and a backward pass a step.
    """
    lower, upper = box.lower.detach(), box.upper.detach()
    share = torch.rand(lower.shape, generator=generator, dtype=lower.dtype).to(lower.device)
    x, reach = lower + share * (upper - lower), size * (upper - lower) / 2
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(ask(x).sum(), x)
        x = torch.minimum(torch.maximum(x.detach() + reach * slope.sign(), lower), upper)
    return x.detach()
