"""The IDX format, gzipped or not: `00 00 type axes`, a big-endian 32-bit length for each axis, then the values."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ballproof.errors import InputError
from ballproof.files import content_of

BYTES = b"\x00\x00\x08"
"""The start of a file of unsigned bytes; the axes' number follows."""

MOST_BYTES = 2**28
"""Of an unpacked file; the largest published one has 47 million."""


def read_content(path: Path, source: str) -> bytes:
    """What the file says, unpacked if its name ends in .gz; a truncated or vast one is refused, naming it and its source."""
    try:
        return content_of(path, MOST_BYTES)
    except InputError as error:
        told = str(error).removeprefix(f"{path} ").removeprefix("cannot be read: ")
        raise InputError(f"{path} cannot be read: {told}; get it again from {source}") from error


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
    if not math.prod(shape) and max(shape) > MOST_BYTES:
        raise InputError(f"{path} has the shape {shape}, which no array can have; get it again from {source}")
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "too long"
        raise InputError(f"{path} is {fault}: {len(content)} bytes, {expected} for shape {shape}; get it again from {source}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)


def unparsed_idx(array: NDArray[np.uint8]) -> bytes:
    """What a file that holds these bytes says."""
    return BYTES + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
