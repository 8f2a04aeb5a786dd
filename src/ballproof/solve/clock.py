"""Time limits, the reasons why a search ends without an answer, and what an engine is given and gives back."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

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


class TimeUp(BaseException):
    """The time is over in the middle of a step."""


GRACE = 0.15
"""Seconds past its limit after which a search that looks at the clock too rarely is interrupted."""

SOON, LATER = 0.01, 0.4
"""Seconds after which the alarm comes again: where Python would drop what is raised, and in case it was dropped after all."""


@contextmanager
def interrupting(clock: Clock) -> Iterator[None]:
    """Raises `TimeUp` inside, soon after the clock is over. Only the main thread can be interrupted; others look themselves."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    seconds, began, done = max(clock.left, 0.0) + GRACE, time.monotonic(), False
    home, rest, handler = sys._getframe(1), 0.0, signal.getsignal(signal.SIGALRM)
    while home.f_back is not None and home.f_code.co_filename == contextlib.__file__:
        home = home.f_back  # the one that entered

    def ring(_: int, frame: FrameType | None) -> None:
        if done:
            return
        dropped = _dropped(frame, home)
        signal.setitimer(signal.ITIMER_REAL, SOON if dropped else LATER)
        if not dropped:
            raise TimeUp

    try:
        signal.signal(signal.SIGALRM, ring)
        rest, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        done = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if rest:
            signal.setitimer(signal.ITIMER_REAL, max(rest - (time.monotonic() - began), 1e-3))


def _dropped(frame: FrameType | None, home: FrameType) -> bool:
    """Whether Python drops what is raised in this frame: it is in a finalizer, or in a callback of `weakref`'s containers."""
    while frame is not None and frame is not home:
        if frame.f_code.co_name == "__del__" or frame.f_code.co_filename == weakref.__file__:
            return True
        frame = frame.f_back
    return False


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
