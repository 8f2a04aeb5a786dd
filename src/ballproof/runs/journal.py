"""A journal: rows that are only ever appended, a line each, every line with its checksum."""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from ballproof.errors import InputError
from ballproof.runs.signals import shielded

Row = dict[str, Any]

MARK = b', "crc": "'
TAIL = len(MARK) + len('01234567"}')

LONGEST = 2**26
"""Bytes of a line; a longer one is no row of ours, and is not read into memory whole."""


def line_of(row: Mapping[str, Any]) -> bytes:
    """The row as JSON whose last entry `crc` is the CRC-32 of the JSON without it."""
    if "crc" in row or not row:
        raise ValueError("a row of a journal has entries, and none of them is called `crc`")
    plain = json.dumps(row).encode()
    return plain[:-1] + MARK + f'{zlib.crc32(plain):08x}"}}\n'.encode()


def row_of(line: bytes) -> Row | None:
    """The row of a line, or None where the line is damaged. One of an earlier version has no checksum and is taken as it is."""
    line = line.rstrip(b"\n")
    if line[-TAIL:].startswith(MARK):
        plain = line[:-TAIL] + b"}"
        if line[-10:] != f'{zlib.crc32(plain):08x}"}}'.encode():
            return None
        line = plain
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and "crc" not in row else None


@dataclass(frozen=True)
class Journal:
    """The rows in a file. A kill at any moment costs no row that was appended, and leaves none half.

    sealed: every line must have its checksum; False for folders of versions that wrote none.
    """

    path: Path
    sealed: bool = True

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows and flush them to the disk; where that fails the file is as before, and `InputError` says why."""
        lines = b"".join(line_of(row) for row in rows)
        try:
            with shielded(), self.path.open("ab", buffering=0) as file:
                end = self._mended(file.fileno())
                try:
                    _write(file.fileno(), lines)
                except OSError:
                    os.ftruncate(file.fileno(), end)
                    raise
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}; its earlier rows are kept") from error

    def _mended(self, file: int) -> int:
        """The end of the last whole line; what a kill left behind it is cut off."""
        size = os.fstat(file).st_size
        with self.path.open("rb") as seen:
            end, block = size, 1 << 16
            while end:
                start = max(0, end - block)
                seen.seek(start)
                at = seen.read(end - start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
        if end < size:
            os.ftruncate(file, end)
        return end

    def rows(self) -> JournalRows:
        """The whole, undamaged rows in the order in which they came; they are read from the disk when they are looked at."""
        offsets, damaged = array("Q"), 0
        for offset, line in self._lines():
            if self._row(line) is None:
                damaged += 1
            else:
                offsets.append(offset)
        return JournalRows(self, offsets, damaged)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            offset = 0
            while line := file.readline(LONGEST):
                if line.endswith(b"\n"):
                    yield offset, line
                offset += len(line)

    def _row(self, line: bytes) -> Row | None:
        if self.sealed and not line.rstrip(b"\n")[-TAIL:].startswith(MARK):
            return None
        return row_of(line)


@dataclass(frozen=True, eq=False)
class JournalRows(Sequence[Row]):
    """Rows that stay on the disk: memory of eight bytes a row. damaged: lines whose checksum did not fit, left out."""

    journal: Journal
    offsets: array[int]
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return list(self._read(self.offsets[place]))
        return next(self._read([self.offsets[place]]))

    def __iter__(self) -> Iterator[Row]:
        return self._read(self.offsets)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def at(self, places: Iterable[int]) -> JournalRows:
        """The rows at these places, in this order."""
        return JournalRows(self.journal, array("Q", (self.offsets[i] for i in places)), self.damaged)

    def _read(self, offsets: Sequence[int]) -> Iterator[Row]:
        if not offsets:
            return
        with self.journal.path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                row = row_of(file.readline(LONGEST))
                if row is None:
                    raise InputError(f"{self.journal.path} was changed while it was read")
                yield row


def _write(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
    os.fsync(file)
