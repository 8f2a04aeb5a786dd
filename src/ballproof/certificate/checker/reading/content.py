"""What a file holds, unpacked, up to what this checker reads: whole, or line by line where it is a certificate."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError

LARGEST = 2**27
"""Bytes of a file; numbers of all weights and places of a network, as they are laid out here."""

MOST_LINES, MOST_EACH, LONGEST_LINE = 20_000_000, 16, 2**20
"""Lines of a file, how many characters they have on the average, and the most of one."""

CHUNK = 2**16


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
    unpack, count, size, rest, until = zlib.decompressobj(wbits=31), 0, 0, b"", time.monotonic() + seconds
    try:
        with path.open("rb") as file:
            while not unpack.eof:
                packed = unpack.unconsumed_tail or file.read(CHUNK)
                text = unpack.decompress(packed, CHUNK)
                if not packed and not text:
                    cut.append(f"the file ends early, behind line {count}: the proof is partial")
                    return
                *whole, rest = (rest + text).split(b"\n")
                count, size = count + len(whole), size + sum(map(len, whole))
                if max(count, size / MOST_EACH) > MOST_LINES or len(rest) > LONGEST_LINE:
                    raise RefusedError(f"line {count + 1} is too long, or there are more than {MOST_LINES} short ones")
                for line in whole:
                    if time.monotonic() > until:
                        raise RefusedError(f"the check is not done after {seconds:g} s, its time limit")
                    yield line.decode("ascii")
            if rest or unpack.unused_data or file.read(1):
                raise RefusedError(f"line {count + 1} is cut short, or more follows behind the end")
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise RefusedError(f"{path.name} is damaged: {error}") from error
