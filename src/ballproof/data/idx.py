"""The IDX format, gzipped or not: `00 00 type axes`, a big-endian 32-bit length for each axis, then the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ballproof.errors import InputError

BYTES = b"\x00\x00\x08"
"""The start of a file of unsigned bytes; the axes' number follows."""

LARGEST = 1 << 30
"""Bytes, unpacked: twenty times the largest published file. A small packed file may claim to be as large as it likes."""


def read_content(path: Path, source: str) -> bytes:
    """What the file says, unpacked if its name ends in .gz; a truncated or vast one is refused, naming it and its source."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content: bytes = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: truncated or no gzip file ({error}); get it again from {source}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if len(content) > LARGEST:
        raise InputError(f"{path} says more than {LARGEST:,} bytes; get it again from {source}")
    return content


def parse_idx(content: bytes, path: Path, source: str, axes: int) -> NDArray[np.uint8]:
    """The array of bytes with this many axes; anything else is refused, naming the file and its source."""
    magic = BYTES + bytes([axes])
    if content[:4] != magic:
        found = content[:4].hex(" ") or "nothing"
        raise InputError(f"{path} begins with {found}, expected {magic.hex(' ')}; get it again from {source}")
    head = 4 + 4 * axes
    if len(content) < head:
        raise InputError(f"{path} is truncated: it ends within its header; get it again from {source}")
    shape = struct.unpack(f">{axes}I", content[4:head])
    expected = head + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise InputError(f"{path} is {fault}: {len(content)} bytes, {expected} for shape {shape}; get it again from {source}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def unparsed_idx(array: NDArray[np.uint8]) -> bytes:
    """What a file that holds these bytes says."""
    return BYTES + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
