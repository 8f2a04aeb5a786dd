"""What is added to a loss: penalties on interval bounds while the ball grows, and on weights and unstable units."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ballproof.operations.relu import Relu
from ballproof.train.losses.moment import Moment
from ballproof.values import Interval

TAU = 0.5
"""How far a ratio may lie from 1 before it costs."""


def warm_up(moment: Moment) -> Tensor:
    """Tightness and balance of the rectifiers' interval bounds (Shi et al. 2021), for the time in which the ball grows.

    Tightness: a layer's mean half-width above twice the input's costs. Balance: means and variances of the units that are
    always on and always off should be alike. 0 for a network without rectifiers.
    """
    pre = list(_before_rectifiers(moment))
    if not pre:
        return moment.x.new_zeros(())
    start = moment.intervals[moment.graph.input].radius.mean()
    tight = torch.stack([(TAU - start / i.radius.mean().clamp(min=1e-12)).clamp(min=0) for i in pre]).mean()
    balance = torch.stack([_balance(i) for i in pre]).mean()
    return (tight + balance) / TAU


def _before_rectifiers(moment: Moment) -> Iterator[Interval]:
    for node in moment.graph.varying:
        if isinstance(node.operation, Relu):
            yield moment.intervals[node.inputs[0]]


def _balance(i: Interval) -> Tensor:
    """How unlike the units that are always on and always off are; nothing where there are none of either."""
    center, on, off = i.center, (i.lower > 0).to(i.lower), (i.upper < 0).to(i.lower)
    means = (center * on).mean() / (-(center * off).mean()).clamp(min=1e-12)
    spread = (center - center.mean()).square()
    spreads = (spread * on).sum() / (spread * off).sum().clamp(min=1e-12)
    cost = center.new_zeros(())
    for ratio in (means, spreads):
        good = bool(torch.isfinite(ratio)) and bool(on.any()) and bool(off.any())
        cost = cost + ((TAU - torch.minimum(ratio, 1 / ratio.clamp(min=1e-12))).clamp(min=0) if good else 0.0)
    return cost


def unstable(moment: Moment) -> Tensor:
    """The mean of -tanh(1 + l u) over the rectifiers' arguments: small where few of them change sign (Xiao et al. 2019)."""
    found = [-torch.tanh(1 + i.lower * i.upper).mean() for i in _before_rectifiers(moment)]
    return torch.stack(found).mean() if found else moment.x.new_zeros(())


@torch.no_grad()
def sparsified(module: nn.Module, below: float) -> float:
    """Set weights smaller than `below` to 0, as goes with an L1 penalty (Xiao et al. 2019); the share of weights that are 0."""
    for w in weights_of(module):
        w[w.abs() < below] = 0.0
    zeros = [int((w == 0).sum()) for w in weights_of(module)]
    return sum(zeros) / max(1, sum(w.numel() for w in weights_of(module)))


def weights_of(module: nn.Module) -> list[Tensor]:
    """The matrices and kernels of a module."""
    return [p for p in module.parameters() if p.ndim > 1]
