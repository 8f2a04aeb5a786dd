"""TAPS and STAPS: interval bounds through the first block, an attack inside their box through the last one."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.bounds.interval import interval_pass
from ballproof.graph import Graph
from ballproof.graph.cut import behind
from ballproof.operations import Nonlinear
from ballproof.problems import Region
from ballproof.train.losses.adversary import walked
from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.train.losses.sabr import small_box
from ballproof.values import Interval

REACH = 0.5
"""The share of a box's width from an end within which the attacked point's gradient reaches that end."""


def taps(moment: Moment) -> Tensor:
    """The interval loss times an attacked one of the last block (Mao et al. 2023); intervals alone while the ball grows."""
    return _taps(moment, moment.region)


def staps(moment: Moment) -> Tensor:
    """The same from the small box of `sabr`."""
    return _taps(moment, small_box(moment))


def _taps(moment: Moment, region: Region) -> Tensor:
    by_intervals = worst_cross_entropy(moment.interval_margins(region))
    if moment.eps < moment.config.eps * moment.config.eps_factor:
        return by_intervals
    scale, inside = moment.config.taps_scale, worst_cross_entropy(attacked_margins(moment, region))
    return (scale * inside + (1 - scale) * inside.detach()) * by_intervals


def attacked_margins(moment: Moment, region: Region) -> Tensor:
    """Margins at points of the box behind the first block, for each wrong class its own, `(batch, classes - 1)`."""
    place = cut_place(moment.graph, moment.config.taps_split)
    rest, box = behind(moment.graph, place), interval_pass(moment.graph, region.box())[place]
    count = moment.rows.shape[1]
    rows = moment.rows.flatten(0, 1)
    many = Interval(*(e.repeat_interleave(count, 0) for e in (box.lower, box.upper)))
    ask = lambda z: -(rows * rest(z)).sum(1)  # noqa: E731
    with moment.cheap():
        found = walked(ask, many, moment.config.walk_steps, moment.config.walk_size, moment.generator)
    joined: Tensor = Connector.apply(found, many.lower, many.upper)
    return (rows * rest(joined)).sum(1).reshape(-1, count)


def cut_place(graph: Graph, split: int) -> str:
    """The node at which the last block with `split` nonlinear nodes begins; the input if there are no more."""
    bends = [n.name for n in graph.varying if isinstance(n.operation, Nonlinear)]
    return bends[-split - 1] if split < len(bends) else graph.input


class Connector(torch.autograd.Function):
    """The point itself; its gradient goes to the near end of the box, whole at the end, not at all from `REACH` on."""

    @staticmethod
    def forward(ctx, point: Tensor, lower: Tensor, upper: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(point, lower, upper)
        return point.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor, Tensor]:  # type: ignore[no-untyped-def]
        point, lower, upper = ctx.saved_tensors
        reach = (REACH * (upper - lower)).clamp(min=1e-12)
        down = ((lower + reach - point) / reach).clamp(0, 1)
        up = ((point - upper + reach) / reach).clamp(0, 1)
        return None, gradient * down, gradient * up
