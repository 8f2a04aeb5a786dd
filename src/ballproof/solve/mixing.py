"""Rows that are violated only together: weights with which they add up to something above zero on a box.

Two ways, as each finds what the other does not: by lines below the rows, which say much where no kink is near, and by the rows'
own values at some points. The weights are a guess; a mixture counts only by the bound that is proven of it as a query.
"""

from __future__ import annotations

import torch
from torch import Tensor

PLAIN, RATE_PLAIN = 12, 3.0
GAME, RATE_GAME = 40, 1.0
"""Steps of multiplicative weights, and their size. The parts of a box begin with the mixtures of the whole."""


def by_planes(slope: Tensor, offset: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Weights `(boxes, planes)`, none negative, with a sum of 1, whose mixture of the planes has a large least value on a box.

    slope: `(boxes, planes, inputs)`; offset: `(boxes, planes)`; lower, upper: the boxes, `(boxes, inputs)`. The least value of
    a mixture is concave in the weights, and the planes' values where it is taken are its slope (Arora, Hazan & Kale 2012).
    Where no mixture of the steps is above the best single plane, that plane has all the weight.
    """
    center, radius = (lower + upper) / 2, (upper - lower) / 2
    middle, reach = (slope @ center.unsqueeze(2)).squeeze(2) + offset, slope * radius.unsqueeze(1)
    size = middle.abs() + reach.abs().sum(2) + torch.finfo(slope.dtype).tiny
    middle, reach = middle / size, reach / size.unsqueeze(2)
    single = (middle - reach.abs().sum(2)).argmax(1, keepdim=True)
    share = torch.zeros_like(size).scatter(1, single, 1.0)
    best, value = share, _least(share, middle, reach)
    power = torch.zeros_like(size)
    for number in range(1, PLAIN + 1):
        share = power.softmax(1)
        turned = (share.unsqueeze(1) @ reach).sign()
        power = power + RATE_PLAIN / number**0.5 * (middle - (reach * turned).sum(2))
        now = _least(share, middle, reach)
        better = now > value
        best, value = torch.where(better.unsqueeze(1), share, best), torch.where(better, now, value)
    return _normal(best / size)


def by_points(values: Tensor) -> Tensor:
    """Weights `(boxes, rows)`, none negative, with a sum of 1, whose mixture of rows has a large least value at some points.

    values: of the rows, `(boxes, points, rows)`. It is a game of rows against points, in units of each row's size: both take
    multiplicative weights, each by what the other did and by how that changed (Syrgkanis et al. 2015). The best of all steps.
    """
    size = values.abs().amax(1, keepdim=True) + torch.finfo(values.dtype).tiny
    game = values / size
    ours, theirs = (game.new_zeros(len(game), n) for n in (game.shape[2], game.shape[1]))
    before = torch.zeros_like(ours), torch.zeros_like(theirs)
    best, least = torch.full_like(ours, 1 / ours.shape[1]), torch.full_like(ours[:, 0], -torch.inf)
    for _ in range(GAME):
        rows, points = ours.softmax(1), theirs.softmax(1)
        gain = (game * points.unsqueeze(2)).sum(1), -(game * rows.unsqueeze(1)).sum(2)
        now = -gain[1].amax(1)
        better = now > least
        best, least = torch.where(better.unsqueeze(1), rows, best), torch.where(better, now, least)
        ours, theirs = (w + RATE_GAME * (2 * g - b) for w, g, b in zip((ours, theirs), gain, before, strict=True))
        before = gain
    return _normal(best / size.squeeze(1))


def _least(share: Tensor, middle: Tensor, reach: Tensor) -> Tensor:
    """The least value of each mixture on its box."""
    return (share * middle).sum(1) - (share.unsqueeze(1) @ reach).squeeze(1).abs().sum(1)


def _normal(weights: Tensor) -> Tensor:
    return weights / weights.sum(1, keepdim=True)
