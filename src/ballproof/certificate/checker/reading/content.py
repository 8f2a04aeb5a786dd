"""What a file holds, unpacked, up to what this checker reads: whole, or line by line where it is a certificate."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError

LARGEST = 2**27
"""Bytes of a file; numbers of all weights and places of a network, as they are laid out here."""


MOST_LINES, MOST_EACH, LONGEST_LINE = 20_000_000, 16, 2**20
"""Lines of a file, how many characters they have on the average, and the most of one."""


def unpacked(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in `.gz`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise NotModelledError(f"{path.name}, which is damaged: {error}") from error
    if len(content) > LARGEST:
        raise NotModelledError(f"{path.name}, a file of more than {LARGEST} bytes")
    return content


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
