"""Steps that may or may not pay: tried, and tried ever more seldom while they do not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Trial:
    """A step of a search that pays where it closes at least this share of the parts it is given.

    most: rounds that it is left out for at most. waiting: rounds until it is due.
    """

    least: float
    most: int
    pause: int = 1
    waiting: int = 0

    def due(self) -> bool:
        """Whether this round takes the step; asked once a round."""
        self.waiting = max(0, self.waiting - 1)
        return self.waiting == 0

    def told(self, closed: int, given: int) -> None:
        """What the step did."""
        poor = closed < self.least * given
        self.pause = min(2 * self.pause, self.most) if poor else 1
        self.waiting = self.pause + 1 if poor else 0
