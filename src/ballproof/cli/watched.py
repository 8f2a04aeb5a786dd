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
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

PATIENCE = 0.6, 0.03
"""Seconds after its limit, or that share of it if more, at which the child is ended: a contract of 1 s or 5 % is kept."""

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


def watched() -> None:
    """Returns in a child process; this one waits for it and ends as it does. Without `fork` there is no child."""
    if not hasattr(os, "fork"):
        return
    ours, theirs = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child:
        os.close(theirs)
        _watch(child, ours)
    os.close(ours)
    LINE.set(theirs)
    _die_with(parent)


def tell_limit(end: float | None, results: Path | None) -> None:
    """When this process must be over (`time.monotonic`; None: no such time), and the file that wants a result too."""
    _say(json.dumps({"end": end, "results": str(results) if results else None}))


def patience(left: float, limit: float) -> float:
    """The time at which a process is ended that has so many seconds left of its whole limit."""
    return time.monotonic() + left + max(PATIENCE[0], PATIENCE[1] * limit)


def tell_done() -> None:
    """That the result is told: whatever happens from now on, it stands."""
    sys.stdout.flush()
    _say(DONE)


def _say(message: str) -> None:
    if LINE.get() >= 0:
        os.write(LINE.get(), f"{message}\n".encode())


def _watch(child: int, line: int) -> NoReturn:
    """What stops this process stops the child; an interrupt at a terminal comes to both by itself."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN if os.isatty(0) else pass_on)
    first, _, rest = (_heard(line, None) or "").partition("\n")
    asked: dict[str, Any] = json.loads(first) if first else {}
    more = rest or _heard(line, asked.get("end"))
    done = more is not None and more.strip() == DONE
    late = more is None or (done and _heard(line, time.monotonic() + LEAVING) is None)
    if late:
        pass_on(signal.SIGKILL, None)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if done:
        os._exit(max(code, 0))
    if late and code == -signal.SIGKILL:
        _end(asked, "timeout", "time: the limit came in the midst of a step that does not end")
    if code in (NO_MEMORY, LOADER):
        _end(asked, "unknown", "memory: too little for the libraries")
    if -code in DEADLY:
        _end(asked, "unknown", f"memory, or a fault of a library: {signal.Signals(-code).name} ended the search")
    os._exit(code if code >= 0 else 128 - code)


def _heard(line: int, end: float | None) -> str | None:
    """What the child says before this time, nothing if it goes; None if neither. Signals are handled between short waits."""
    while (left := LOOK if end is None else end - time.monotonic()) > 0:
        if select.select([line], [], [], min(left, LOOK))[0]:
            return os.read(line, 2**16).decode()
    return None


def _end(asked: dict[str, Any], result: str, reason: str) -> NoReturn:
    """Tell a result that the child has not told."""
    print(f"{result}\n; {reason}")
    if "--json" in sys.argv:
        print(json.dumps({"result": result, "reason": reason, "counterexample": None, "certificate": None}))
    sys.stdout.flush()
    if asked.get("results"):
        Path(asked["results"]).write_text(f"{result}\n")
    os._exit(0)


def _die_with(parent: int) -> None:
    """Where the system can do it (Linux), this process is ended when its parent is."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
