"""The words that lines of a certificate are made of, and what they leave open."""

from __future__ import annotations

from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import RefusedError

MOST_OPEN, EACH = 2**26, 64
"""Numbers that the cells, or the boxes, which are open at once may hold, and for how many more each of them counts."""


def number(word: str) -> float:
    """A hexadecimal float that is finite."""
    try:
        found = float.fromhex(word)
    except (ValueError, OverflowError):
        found = np.nan
    if not np.isfinite(found):
        raise RefusedError(f"`{word[:20]}` is no number, or not finite")
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
