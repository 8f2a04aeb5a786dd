"""Progress on a terminal, with rate and time left; nothing at all where stderr is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, Task


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int, str], None]]:
    """A bar; call it with how much is done and a short text."""
    with _bar(_counted) as bar:
        number = bar.add_task(what, total=total, note="")
        yield lambda done, note: bar.update(number, completed=done, note=note)


@contextmanager
def waiting(what: str, limit: float = 0.0) -> Iterator[None]:
    """For what cannot be counted: the seconds spent, and how many are left of a limit."""
    with _bar(lambda task: _left(limit - (task.elapsed or 0)) + " at most" if limit else "") as bar:
        bar.add_task(what, total=None, note="")
        yield


def _counted(task: Task) -> str:
    """How many of how many, the rate of late or else of all the time, and how long the rest takes at that rate."""
    done, total = task.completed, task.total or 0
    if not done or not task.elapsed:
        return f"{done:g}/{total:g}"
    rate = task.speed or done / task.elapsed
    return f"{done:g}/{total:g}, {rate:.3g}/s, {_left((total - done) / rate)}"


def _left(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} left" if minutes >= 60 else f"{minutes}:{rest:02d} left"


@contextmanager
def _bar(told: Callable[[Task], str]) -> Iterator[Progress]:
    """told: what stands behind the bar. Nothing is drawn unless stderr is a terminal that can move its cursor."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Told(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(told(task))

    console = Console(file=sys.stderr)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), Told(), TextColumn("{task.fields[note]}")
    with Progress(*columns, console=console, disable=not sys.stderr.isatty() or console.is_dumb_terminal) as bar:
        yield bar
