"""Arrays of numbers in a MATLAB file of version 5, where no length that it tells is believed (MathWorks, MAT-File Format)."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.errors import InputError
from ballproof.files import ALWAYS, MOST_RATIO, content_of

TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
MATRIX, COMPRESSED = 14, 15

HEADER, MARK = 128, b"\x00\x01IM"
"""Bytes before the first element; the last of them say version 5, least byte first."""

NUMBERS, COMPLEX = range(6, 16), 0x800
"""Classes of arrays that hold numbers, and the flag of those with an imaginary part."""

LARGEST = 2**31

Element = tuple[int, memoryview]
Array = np.ndarray[Any, np.dtype[Any]]


def load_matlab(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of these names, those that are there; whatever does not fit is an `InputError`."""
    content = memoryview(content_of(path, LARGEST))
    try:
        if content[HEADER - 4 : HEADER] != MARK:
            raise ValueError("not version 5 with the least byte first")
        arrays = (_array(body) for kind, body in _matrices(content[HEADER:]) if kind == MATRIX)
        return {name: array for name, array in arrays if name in names and array is not None}
    except (ValueError, zlib.error) as error:
        raise InputError(f"{path} is damaged or no MATLAB file of version 5: {error}") from error


def _matrices(content: memoryview) -> Iterator[Element]:
    for kind, body in _elements(content):
        yield from _unpacked(body) if kind == COMPRESSED else [(kind, body)]


def _elements(content: memoryview) -> Iterator[Element]:
    at = 0
    while at + 8 <= len(content):
        kind, size = (int(n) for n in np.frombuffer(content[at : at + 8], "<u4"))
        short = kind >> 16
        start, size, kind = (at + 4, short, kind & 0xFFFF) if short else (at + 8, size, kind)
        if size > (4 if short else len(content) - start):
            raise ValueError("an element is longer than the file")
        yield kind, content[start : start + size]
        at = at + 8 if short else start + size + (0 if kind == COMPRESSED else -size % 8)


def _unpacked(body: memoryview) -> Iterator[Element]:
    most, packed = max(ALWAYS, MOST_RATIO * len(body)), zlib.decompressobj()
    content = packed.decompress(body, most)
    if not packed.eof:
        raise ValueError(f"an array is cut short or unpacks to more than {most >> 20} MiB")
    return _elements(memoryview(content))


def _array(body: memoryview) -> tuple[str, Array | None]:
    """The name and the numbers of a matrix; None for what are no real numbers."""
    parts = list(_elements(body))
    if len(parts) < 4 or [kind for kind, _ in parts[:3]] != [6, 5, 1] or len(parts[0][1]) != 8:
        return "", None
    (_, flags), (_, axes), (_, name), (kind, data) = parts[:4]
    word, shape = int(np.frombuffer(flags, "<u4")[0]), np.frombuffer(axes, "<i4").tolist()
    if word & 0xFF not in NUMBERS or word & COMPLEX or kind not in TYPES:
        return "", None
    numbers = np.frombuffer(data, TYPES[kind])
    if min(shape, default=-1) < 0 or math.prod(shape) != len(numbers):
        raise ValueError(f"an array promises the shape {shape}, and has {len(numbers)} numbers")
    return bytes(name).decode("latin-1"), numbers.reshape(shape, order="F")
