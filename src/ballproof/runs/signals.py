"""SIGTERM and Ctrl-C end a command between two steps, never inside one that has to be whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """The command was asked to end; what was shielded is whole."""


class _Door:
    """How many shields are up, and the signal that waits for the last of them."""

    shields = 0
    waiting: int | None = None


def _arrived(number: int, _: FrameType | None) -> None:
    if _Door.shields:
        _Door.waiting = number
    else:
        raise Stopped(number)


def asked() -> bool:
    """Whether a signal waits for the end of a shield."""
    return _Door.waiting is not None


@contextmanager
def shielded() -> Iterator[None]:
    """Inside, a signal waits; it raises `Stopped` at the end, unless something worse happened. For the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Door.shields += 1
    try:
        yield
    finally:
        _Door.shields -= 1
    if not _Door.shields and _Door.waiting is not None:
        number, _Door.waiting = _Door.waiting, None
        raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT raise `Stopped` in the main thread; elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, _arrived) for number in (signal.SIGTERM, signal.SIGINT)}
    _Door.waiting = None
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
