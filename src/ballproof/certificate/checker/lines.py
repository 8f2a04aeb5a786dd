"""The lines of a certificate, up to limits of size and time, the words that they are made of, and what they leave open."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import RefusedError

MOST_LINES, MOST_EACH, LONGEST_LINE = 20_000_000, 16, 2**20
"""Lines of a file, how many characters they have on the average, and the most of one."""

MOST_OPEN, EACH = 2**26, 64
"""Numbers that the cells, or the boxes, which are open at once may hold, and for how many more each of them counts."""


def lines_of(path: Path, cut: list[str], seconds: float) -> Iterator[str]:
    """The lines of the file, unpacked; refuses what is longer than a certificate can be, or is asked for after this time.

    Of a file that has no end, as one that was being written, the whole lines are read, and `cut` is told.
    """
    size, number, until = 0, 0, time.monotonic() + seconds
    try:
        with gzip.open(path) as file:
            for number in count(1):
                line = file.readline(LONGEST_LINE)
                size += len(line)
                if not line:
                    return
                if not line.endswith(b"\n") or max(number, size / MOST_EACH) > MOST_LINES:
                    raise RefusedError(f"line {number} is cut short or too long, or there are more than {MOST_LINES}")
                if time.monotonic() > until:
                    raise RefusedError(f"the check is not done after {seconds:g} s, its time limit")
                yield line[:-1].decode("ascii")
    except EOFError:
        cut.append(f"the file ends early, in line {number}: the proof is partial")
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise RefusedError(f"{path.name} is damaged: {error}") from error


def number(word: str) -> float:
    """A hexadecimal float that is finite."""
    try:
        found = float.fromhex(word)
    except (ValueError, OverflowError):
        raise RefusedError(f"`{word[:20]}` is no number") from None
    if not np.isfinite(found):
        raise RefusedError(f"`{word[:20]}` is not finite")
    return found


def index(word: str, limit: int) -> int:
    """A whole number below a limit."""
    if not word.isascii() or not word.isdigit() or len(word) > 9 or int(word) >= limit:
        raise RefusedError(f"`{word[:20]}` is none of {limit}")
    return int(word)


class Open:
    """Boxes or cells that are not proven yet, by their numbers: those of the order in which they were made."""

    kind = "boxes"

    def __init__(self, size: int) -> None:
        """size: how many numbers each of them holds."""
        self.open: dict[int, Any] = {}
        self.count, self.size = 0, EACH + size

    def add(self, *parts: Any) -> None:
        if (len(self.open) + len(parts)) * self.size > MOST_OPEN:
            raise RefusedError(f"too many {self.kind} are open at once")
        self.open |= enumerate(parts, self.count)
        self.count += len(parts)

    def opened(self, name: str) -> Any:
        if index(name, self.count) not in self.open:
            raise RefusedError(f"number {name} of the {self.kind} is not open")
        return self.open[int(name)]
