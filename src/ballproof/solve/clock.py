"""Time limits, the reasons why a search ends without an answer, and what an engine is given and gives back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ballproof.graph import Graph
from ballproof.problems import Property, Region

Confirm = Callable[[Tensor], Tensor | None]
"""Points `(n, *input)` of the task's input -> one that violates the property on the original model, checked there."""


@dataclass
class Clock:
    """Seconds from when it is made."""

    seconds: float
    start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        return time.monotonic() - self.start

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    @property
    def over(self) -> bool:
        return self.left <= 0

    def part(self, share: float, least: float = 0.0) -> Clock:
        """A clock that ends after this share of what is left, and not after this one."""
        return Clock(min(max(share * self.left, least), max(self.left, 0.0)))


@dataclass(frozen=True, eq=False)
class Task:
    """One question for an engine: can the property be violated on the region, a single example?

    confirm: the only way to a counterexample; what it does not confirm is none.
    """

    graph: Graph
    region: Region
    property: Property
    confirm: Confirm
    clock: Clock


@dataclass(frozen=True, eq=False)
class Answer:
    """What an engine found: `proven`, or a confirmed `counterexample`, or neither with a `reason`.

    bound: the best proven lower value of the worst margin. leaves: sub-problems that were bounded. final: the engine has
    nothing left to try.
    """

    proven: bool
    counterexample: Tensor | None = None
    reason: str = ""
    bound: float = float("-inf")
    leaves: int = 0
    final: bool = False

    @property
    def decided(self) -> bool:
        return self.proven or self.counterexample is not None


def margins_at(task: Task, points: Tensor) -> Tensor:
    """The margin of the property at points `(n, *input)`; at or below 0 where it is violated."""
    with torch.no_grad():
        return task.property.worst(task.property.values(task.graph(points)))
