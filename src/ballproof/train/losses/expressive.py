"""Expressive losses: between the attacked loss and the interval bound, with one number that says where (De Palma et al. 2024).

`expressive_alpha` is 1 for intervals alone and 0 for the attack alone. None of them is a bound of the worst cross-entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.train.losses.plain import attacked


def cc_ibp(moment: Moment) -> Tensor:
    """Cross-entropy of the convex combination of both margins."""
    alpha = moment.config.expressive_alpha
    points = attacked(moment, moment.config.walk_factor)
    return worst_cross_entropy(alpha * moment.interval_margins() + (1 - alpha) * moment.margins_at(points))


def mtl_ibp(moment: Moment) -> Tensor:
    """The convex combination of both losses."""
    alpha, both = moment.config.expressive_alpha, _both(moment)
    return alpha * both[0] + (1 - alpha) * both[1]


def exp_ibp(moment: Moment) -> Tensor:
    """The product of both losses to the powers alpha and 1 - alpha."""
    alpha, both = moment.config.expressive_alpha, _both(moment)
    logs = [torch.log(loss.clamp(min=1e-12)) for loss in both]
    return torch.exp(alpha * logs[0] + (1 - alpha) * logs[1])


def _both(moment: Moment) -> tuple[Tensor, Tensor]:
    """The loss by intervals and the attacked one."""
    points = attacked(moment, moment.config.walk_factor)
    return worst_cross_entropy(moment.interval_margins()), F.cross_entropy(moment.logits(points), moment.y)
