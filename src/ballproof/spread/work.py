"""`Work`: what every worker is told once, and what becomes of an item that is too large, too slow or deadly."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Generic, TypeVar

from ballproof.errors import of_memory

Row = dict[str, Any]
Rows = list[Row]
Item = TypeVar("Item")


PATIENCE = 0.6, 0.03
"""Seconds after a limit, or that share of it if more, at which what goes on is ended from outside: a contract of 1 s or 5 %."""


def patience(limit: float) -> float:
    """Seconds from the beginning to the end from outside of what should end after `limit` seconds."""
    return limit + max(PATIENCE[0], PATIENCE[1] * limit)


class Barrier:
    """Stands among items for: not before the rows of all former items are kept."""


BARRIER = Barrier()


class Failure(Enum):
    """Why an item has no rows; the value is what its rows say then."""

    MEMORY = "memory"
    TIME = "time"
    DEATH = "the process died"


class Work(ABC, Generic[Item]):
    """A pure function of one item, the network and settings inside: equal items give equal rows on every worker.

    isolated: an item may crash or ignore its limit, so it is carried out in another process even by a single worker.
    """

    isolated = False

    @abstractmethod
    def rows(self, item: Item) -> Rows:
        """The rows of an item. No state, no clock in what they say but `seconds`, random numbers from seeds alone."""

    @abstractmethod
    def given_up(self, item: Item, reason: str) -> Rows:
        """The rows of an item that cannot be carried out: each says `unknown`, and why."""

    def smaller(self, item: Item) -> list[Item]:
        """The same item in parts that need less memory each; none where it is as small as can be."""
        return []

    def seconds(self, item: Item) -> float:
        """After how long a worker stops an item that should have stopped by itself."""
        return math.inf

    def after(self, item: Item, seconds: float) -> Item:
        """The item when so many seconds of its limit are spent; itself where it has none."""
        return item


def carried_out(work: Work[Item], item: Item, ask: Callable[[Item], Rows | Failure]) -> Rows:
    """The rows of an item. A death is tried again once; too little memory, in smaller parts; then the item is given up.

    All of that within the item's limit, if it has one.
    """
    start = time.monotonic()
    found = ask(item)
    if found is Failure.DEATH:
        found = ask(work.after(item, time.monotonic() - start))
    if not isinstance(found, Failure):
        return found
    parts = [] if found is Failure.TIME else work.smaller(work.after(item, time.monotonic() - start))
    if not parts:
        return work.given_up(item, found.value)
    return [row for part in parts for row in carried_out(work, part, ask)]


def attempted(work: Work[Item], item: Item) -> Rows | Failure:
    """The rows, or `Failure.MEMORY`. Whatever draws from torch's global numbers draws the same on every worker."""
    try:
        with _same_numbers():
            return work.rows(item)
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
    return Failure.MEMORY


@contextmanager
def _same_numbers() -> Iterator[None]:
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
