"""Queries that are on their way together; those that are settled before they reach the input drop out."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.operations.scalar import Scalar
from ballproof.values import Interval

WORTH = 0.8
"""Queries are dropped when at most this share of them is left: to drop some costs a copy of the others."""


def racing(operation: object, inputs: int) -> Scalar | None:
    """The operation, if one side can settle its argument: two straight pieces that meet in one point, and nothing else."""
    straight = isinstance(operation, Scalar) and inputs == 1 and not any(operation.curvature) and len(operation.breaks) == 1
    return operation if straight else None  # type: ignore[return-value]


def likely_side(operation: Scalar, value: Tensor) -> Tensor:
    """1 where only the lower end can settle the coordinate, -1 where only the upper one can.

    value: of the coordinate at a point of the region; at another point the answer is a guess, and no less sound.
    """
    ((place, _),) = operation.breaks
    return torch.where(value >= place, 1.0, -1.0).to(value.dtype)


def with_side(known: Interval, sign: Tensor, value: Tensor, where: str) -> Interval:
    """Proven ends cut with proven lower values of `sign` times the coordinate."""
    found = Interval(torch.where(sign > 0, value, known.lower), torch.where(sign > 0, known.upper, -value))
    return found.intersect(known, where)


class Race:
    """Proven ends of some coordinates of which one side is asked, and which of them still go on."""

    def __init__(self, known: Interval, sign: Tensor, operation: Scalar | None) -> None:
        """known: proven ends; sign: 1 where the lower one is asked, -1 where the upper one is; `(batch, query)` each.

        operation: what a settled coordinate is settled for; without it all go on to the end.
        """
        self.operation, self.known, self.sign = operation, known, sign
        self.running = torch.arange(sign.shape[1], device=sign.device).expand(len(sign), -1)

    def after(self, value: Tensor) -> Tensor | None:
        """Take lower values of the running queries in; which of those to keep, `(batch, query)`, or None for all."""
        assert self.operation is not None
        open_ = self.operation.unsettled(self._take(value))[0]
        count = int(open_.sum(1).max())
        if count > WORTH * open_.shape[1]:
            return None
        left = open_.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :count]
        self.running = self.running.gather(1, left)
        return left

    def finished(self, value: Tensor) -> Interval:
        """The ends of all coordinates, with the running queries at the input."""
        self._take(value)
        return self.known

    def _take(self, value: Tensor) -> Interval:
        old = Interval(self.known.lower.gather(1, self.running), self.known.upper.gather(1, self.running))
        best = with_side(old, self.sign.gather(1, self.running), value, "a query on its way")
        low, up = self.known.lower.scatter(1, self.running, best.lower), self.known.upper.scatter(1, self.running, best.upper)
        self.known = Interval(low, up)
        return best
