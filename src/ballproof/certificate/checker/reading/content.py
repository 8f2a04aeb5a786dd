"""What a file holds, unpacked, up to what this checker reads."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ballproof.certificate.checker.arithmetic import NotModelledError

LARGEST = 2**27
"""Bytes of a file; numbers of all weights and places of a network, as they are laid out here."""


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
