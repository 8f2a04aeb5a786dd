"""How the process of a command begins and ends: limits count from its start, and `verify` leaves at once when done."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import NoReturn

from ballproof.cli.watched import NO_MEMORY, watched

BEFORE: ContextVar[float] = ContextVar("before", default=0.0)
"""Seconds that the process ran before the command began; 0 where a command is called inside another program."""


def entry() -> NoReturn:
    """What the shell calls."""
    BEFORE.set(age())
    if sys.argv[1:2] != ["verify"]:
        from ballproof.cli import main

        sys.exit(main())
    from ballproof.cli.ended import verify_ended

    watched(verify_ended)
    _leave(_verify)


def standard_entry() -> NoReturn:
    """What the shell calls for `ballproof-vnnlib`."""
    BEFORE.set(age())
    from ballproof.cli.standard import ended, main

    if sys.argv[1:2] != ["verify"]:
        sys.exit(main())
    watched(ended)
    _leave(main)


def _verify() -> int:
    from ballproof.cli import main

    return main()


def _leave(command: Callable[[], int]) -> NoReturn:
    """Carry it out and end this process at once."""
    try:
        code = command()
    except (MemoryError, SystemError):  # the latter where there is no memory for an exception either
        os._exit(NO_MEMORY)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # PyTorch takes half a second to go, of a limit that may be over


def age() -> float:
    """Seconds since this process was started, where the system tells it (Linux); else 0."""
    try:
        told = Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
        began = int(told[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, AttributeError, ValueError, IndexError):
        return 0.0
