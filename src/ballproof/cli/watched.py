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


def tell_limit(left: float, limit: float, results: Path | None) -> None:
    """That this process is over in so many seconds of its whole limit, and the file that wants a result too."""
    if LINE.get() >= 0:
        end = time.monotonic() + left + max(PATIENCE[0], PATIENCE[1] * limit)
        os.write(LINE.get(), json.dumps({"end": end, "results": str(results) if results else None}).encode())


def _watch(child: int, line: int) -> NoReturn:
    """What stops this process stops the child; an interrupt at a terminal comes to both by itself."""
    signal.signal(signal.SIGTERM, lambda n, _: os.kill(child, n))
    signal.signal(signal.SIGINT, signal.SIG_IGN if os.isatty(0) else lambda n, _: os.kill(child, n))
    _speaks(line, float("inf"))
    told = os.read(line, 2**16)
    asked: dict[str, Any] = json.loads(told) if told else {}
    late = bool(asked) and not _speaks(line, asked["end"])
    if late:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if late and code == -signal.SIGKILL:
        _end(asked, "timeout", "time: the limit came in the midst of a step that does not end")
    if code in (NO_MEMORY, LOADER):
        _end(asked, "unknown", "memory: too little for the libraries")
    if -code in DEADLY:
        _end(asked, "unknown", f"memory, or a fault of a library: {signal.Signals(-code).name} ended the search")
    os._exit(code if code >= 0 else 128 - code)


def _speaks(line: int, end: float) -> bool:
    """Whether something comes, or the child goes, before this time. Signals are handled between short waits."""
    while (left := end - time.monotonic()) > 0:
        if select.select([line], [], [], min(left, LOOK))[0]:
            return True
    return False


def _end(asked: dict[str, Any], result: str, reason: str) -> NoReturn:
    """Tell a result that the child has not told."""
    if asked.get("results"):
        Path(asked["results"]).write_text(f"{result}\n")
    print(f"{result}\n; {reason}")
    if "--json" in sys.argv:
        print(json.dumps({"result": result, "reason": reason, "counterexample": None, "certificate": None}))
    sys.stdout.flush()
    os._exit(0)


def _die_with(parent: int) -> None:
    """Where the system can do it (Linux), this process is ended when its parent is."""
    with suppress(OSError, AttributeError, ImportError):
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
