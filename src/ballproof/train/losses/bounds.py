"""Losses that are a proven bound of the worst cross-entropy: intervals, the dual network, CROWN."""

from __future__ import annotations

from torch import Tensor

from ballproof.bounds import margins
from ballproof.train.losses.moment import Moment, worst_cross_entropy


def interval(moment: Moment) -> Tensor:
    """By interval bounds (Gowal et al. 2018). Price: about three plain steps."""
    return worst_cross_entropy(moment.interval_margins())


def by_margins(moment: Moment) -> Tensor:
    """By the method of `bounds` that has the loss's own name: `dual` (Wong & Kolter 2018), `crown` and their hybrids."""
    return worst_cross_entropy(margins(moment.graph, moment.region, moment.y, moment.config.method))
