"""SABR: interval bounds of a small box round an adversarial point, inside the ball."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.problems import Box
from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.train.losses.plain import attacked


def sabr(moment: Moment) -> Tensor:
    """Intervals of the box of `sabr_share` times the ball's size (Müller et al. 2023). No bound of the worst cross-entropy."""
    return worst_cross_entropy(moment.interval_margins(small_box(moment)))


def small_box(moment: Moment) -> Box:
    """The box of `sabr_share` times the ball's widths next to an attacked point, inside the ball."""
    whole, share = moment.box(1.0), moment.config.sabr_share
    reach = share * whole.box().radius
    center = attacked(moment, moment.config.walk_factor)
    center = torch.minimum(torch.maximum(center, whole.lower + reach), whole.upper - reach)
    return Box(torch.maximum(center - reach, whole.lower), torch.minimum(center + reach, whole.upper))
