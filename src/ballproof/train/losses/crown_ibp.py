"""CROWN-IBP: lines on interval bounds, mixed with the intervals themselves; and all margins in one query by loss fusion."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.train.losses.lines import lower_by_lines
from ballproof.train.losses.moment import Moment, worst_cross_entropy

FLAT = 40.0
"""Examples with margins beyond it are bounded by intervals alone, as their exponentials leave float32."""


def crown_ibp(moment: Moment) -> Tensor:
    """Margins `beta` CROWN-IBP + `(1 - beta)` intervals (Zhang et al. 2020). An upper bound of the worst cross-entropy."""
    beta = moment.config.crown_beta_at(moment.eps)
    if beta <= 0:
        return worst_cross_entropy(moment.interval_margins())
    return worst_cross_entropy(beta * lower_by_lines(moment, moment.rows) + (1 - beta) * moment.interval_margins())


def crown_ibp_fused(moment: Moment) -> Tensor:
    """The same with one query an example (Xu et al. 2020): with m the margins, `1 + sum exp(-m)` is bounded whole.

    exp(-m) lies below its chord over the interval of m, so the sum lies below one linear function of the logits; its bound,
    mixed with that of the intervals by `beta`, goes into the logarithm. Costs the same for ten classes and for a thousand.
    """
    beta, low = moment.config.crown_beta_at(moment.eps), moment.interval_margins()
    by_intervals = worst_cross_entropy(low, "none")
    if beta <= 0:
        return by_intervals.mean()
    high = torch.maximum(-moment.interval_lower(-moment.rows), low)
    fits = ((low > -FLAT) & (high < FLAT)).all(1)
    low, high = low.clamp(-FLAT, FLAT), high.clamp(-FLAT, FLAT)
    first, last, width = torch.exp(-low), torch.exp(-high), high - low
    slope = torch.where(width > 1e-6, (last - first) / width.clamp(min=1e-6), -first)
    query = -(slope.unsqueeze(2) * moment.rows).sum(1, keepdim=True)
    total = 1 + (first - slope * low).sum(1) - lower_by_lines(moment, query)[:, 0]
    mixed = beta * total.clamp(min=1.0) + (1 - beta) * torch.exp(by_intervals.clamp(max=FLAT))
    return torch.where(fits, torch.log(mixed), by_intervals).mean()
