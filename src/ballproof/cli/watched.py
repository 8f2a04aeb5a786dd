"""A command in a child process of which this one sees to it that it ends: at its limit, and with a result.

A step of a library that looks at no clock, or a library that finds no memory, can hold or end a whole process; nothing inside
it helps then. The child is made before any library is loaded, so this process is small.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any, NoReturn

from ballproof.spread import work

Known = dict[str, Any]
"""What the child has told of itself. `end`: when it must be over (`time.monotonic`)."""

Ending = Callable[[Known, str, str], int]
"""Tells a result, with its reason, in place of a child that has told none; or the better one that the child has found already.
Returns the exit code."""

LONGEST = 1e8
"""Seconds of the longest limit, three years: clocks of the system take no longer ones."""

LOOK = 0.1
"""Seconds of one wait: a signal that comes just before a wait is handled after it."""

NO_MEMORY = 75
"""The exit code of a child that found no memory to go on with; `sysexits.h` calls it a temporary failure."""

LOADER = 127
"""That of the system's loader, which found none."""

DEADLY = signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS
"""How libraries and systems end a process that wants too much."""

DONE, LEAVING = "done", 5.0
"""What the child says when its result is told, and the seconds that it may take to leave then."""

LINE: ContextVar[int] = ContextVar("line", default=-1)
"""Where the child tells its limit; -1 in a process that nobody watches."""


def watched(ending: Ending) -> None:
    """Returns in a child process; this one waits for it and ends as it does. Without `fork` there is no child."""
    if not hasattr(os, "fork"):
        return
    ours, theirs = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # until there is who passes them on
    parent, child = os.getpid(), os.fork()
    if child:
        os.close(theirs)
        _watch(child, ours, ending, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(ours)
    LINE.set(theirs)
    _die_with(parent)


def note(**known: Any) -> None:
    """Tell the process that watches this one, if any; later words replace earlier ones of the same name."""
    _say(json.dumps(known))


def patience(left: float, limit: float) -> float:
    """The time at which a process is ended that has so many seconds left of its whole limit."""
    return time.monotonic() + left + work.patience(limit) - limit


def tell_done() -> None:
    """That the result is told: whatever happens from now on, it stands."""
    sys.stdout.flush()
    _say(DONE)


def _say(message: str) -> None:
    left = f"{message}\n".encode() if LINE.get() >= 0 else b""
    while left:
        left = left[os.write(LINE.get(), left) :]


def _watch(child: int, line: int, ending: Ending, mask: Iterable[int]) -> NoReturn:
    """What stops this process stops the child; an interrupt at a terminal comes to both by itself. mask: signals held back."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN if os.isatty(0) else pass_on)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    known, done, late = _listened(line)
    if late:
        pass_on(signal.SIGKILL, None)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if done:
        os._exit(max(code, 0))
    if late and code == -signal.SIGKILL:
        _end(ending, known, "timeout", "time: the limit came in the midst of a step that does not end")
    if code in (NO_MEMORY, LOADER):
        _end(ending, known, "unknown", "memory: too little for the libraries")
    if -code in DEADLY:
        why = f"memory, or a fault of a library: {signal.Signals(-code).name} ended the search"
        _end(ending, known, "unknown", why)
    os._exit(code if code >= 0 else 128 - code)


def _listened(line: int) -> tuple[Known, bool, bool]:
    """What the child told until it went or its time was over; whether its result is told; whether it has to be ended."""
    known, rest = Known(), b""
    while heard := _heard(line, known.get("end")):
        *said, rest = (rest + heard).split(b"\n")
        for message in said:
            if message == DONE.encode():
                return known, True, _heard(line, time.monotonic() + LEAVING) is None
            known |= json.loads(message)
    return known, False, heard is None


def _end(ending: Ending, known: Known, result: str, reason: str) -> NoReturn:
    code = ending(known, result, reason)
    sys.stdout.flush()
    os._exit(code)


def _heard(line: int, end: float | None) -> bytes | None:
    """What the child says before this time, nothing if it goes; None if neither. Signals are handled between short waits."""
    while (left := LOOK if end is None else end - time.monotonic()) > 0:
        if select.select([line], [], [], min(left, LOOK))[0]:
            return os.read(line, 2**16)
    return None


def _die_with(parent: int) -> None:
    """Where the system can do it (Linux), this process is ended when its parent is."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
