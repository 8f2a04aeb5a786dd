"""Files that others wrote: read whole, but never more than they can honestly hold."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from ballproof.errors import InputError

CHUNK = 2**24
ALWAYS = 2**28
"""Bytes that a packed file may unpack to, however small it is."""

MOST_RATIO = 100
"""Beyond that a packed file may unpack to so many times its size: weights shrink to a tenth at most, text to a fiftieth."""


def chunks(path: Path, most: int, size: int = CHUNK) -> Iterator[bytes]:
    """The content, unpacked if the name ends in `.gz`; `InputError` where it is missing, damaged, or more than it can be."""
    if not path.is_file():
        raise InputError(f"no file {path}")
    total, packed = 0, path.suffix == ".gz"
    try:
        allowed = min(most, max(ALWAYS, MOST_RATIO * path.stat().st_size)) if packed else most
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            while chunk := file.read(size):
                total += len(chunk)
                if total > allowed:
                    raise InputError(f"{path} {'unpacks to' if packed else 'has'} more than {allowed >> 20} MiB: refused")
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or no gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def content_of(path: Path, most: int) -> bytes:
    """The whole content, at most `most` bytes."""
    return b"".join(chunks(path, most))


def text_of(path: Path, most: int) -> str:
    """The whole text; bytes that are no UTF-8 are an `InputError`."""
    try:
        return content_of(path, most).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: {error}") from error


def sha256(path: Path) -> str:
    """Of a file as it lies there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
