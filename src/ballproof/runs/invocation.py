"""The command line that is being carried out: a run notes it, so that its report can say how to get it again."""

from __future__ import annotations

from contextvars import ContextVar

INVOCATION: ContextVar[tuple[str, ...]] = ContextVar("INVOCATION", default=())
"""Its words; empty where no command line is."""
