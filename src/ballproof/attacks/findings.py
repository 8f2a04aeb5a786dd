"""The best points met so far, in one place: the only state that a search changes."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.attacks.goal import Goal


class Findings:
    """The point of least margin met for each example, and whether the network is broken there.

    Start: every example at `points (batch, *input)`, not asked yet, with the margin infinity.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points.clone()
        self.margins = points.new_full(points.shape[:1], torch.inf)
        self.broken = torch.zeros_like(self.margins, dtype=torch.bool)

    def offer(self, index: Tensor, points: Tensor, outputs: Tensor, goal: Goal) -> Tensor:
        """Keeps the points that are better than what is held, and says which of them are broken: `(len(index),)`.

        `goal` is the goal of the examples `index`, and `outputs` the network's at `points`.
        """
        margins, broken = goal.margins(outputs), goal.broken(outputs)
        better = margins < self.margins[index]
        kept = index[better]
        self.points[kept] = points[better]
        self.margins[kept] = margins[better].to(self.margins)
        self.broken[kept] = broken[better]
        return broken

    def unbroken(self) -> Tensor:
        """The indices of the examples that are not broken yet."""
        return (~self.broken).nonzero().squeeze(1)
