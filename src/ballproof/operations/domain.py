"""Regions on which a function is not defined everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ballproof.errors import DomainError
from ballproof.values import Interval

if TYPE_CHECKING:
    from ballproof.operations.base import Operation


def refuse_outside(operation: Operation, x: Interval, outside: Tensor) -> DomainError:
    """What to raise where `outside` says that the interval leaves the domain: which interval, and what to do."""
    lower, upper = x.lower.expand(outside.shape)[outside][0].item(), x.upper.expand(outside.shape)[outside][0].item()
    return DomainError(
        f"{operation} on the interval [{lower:.6g}, {upper:.6g}], where it is not defined or not bounded "
        f"({int(outside.sum())} such intervals); make the region smaller or the bounds tighter"
    )
