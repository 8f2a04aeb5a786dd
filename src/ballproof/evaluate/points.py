"""Adversarial points on their way to one file: each at its own place, so that none is there twice and none is lost."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate.rows import Kept
from ballproof.runs import Run

ADVERSARIAL, PART = "adversarial.npz", "points.part"
BLOCK = 2**22

Array = np.ndarray[Any, np.dtype[Any]]


class Points:
    """The points of a run, one an example, in the order of the data. They are on the disk when `write` returns."""

    def __init__(self, run: Run, data: Dataset, file: int) -> None:
        self.run, self.data, self._file = run, data, file
        self._bytes = 4 * int(np.prod(data.shape))

    @staticmethod
    def of(run: Run, data: Dataset, kept: Kept) -> Points | None:
        """Those of a run; None where it has ended. Rows without their points are an `InputError`."""
        path = run.path / PART
        if len(kept) and not path.is_file():
            if run.has(ADVERSARIAL):
                return None
            raise InputError(f"{path} is missing, with the points of the rows that are there; name a new folder")
        return Points(run, data, os.open(path, os.O_RDWR | os.O_CREAT, 0o644))

    def __enter__(self) -> Points:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._file)

    def write(self, place: int, points: Sequence[Array]) -> None:
        """Points of examples that follow one another from `place` on."""
        content = memoryview(np.stack(points).astype(np.float32, copy=False).tobytes())
        offset = place * self._bytes
        try:
            while content:
                written = os.pwrite(self._file, content, offset)
                content, offset = content[written:], offset + written
            os.fsync(self._file)
        except OSError as error:
            raise InputError(f"{self.run.path / PART} cannot be written: {error.strerror}; earlier points are kept") from error

    def finish(self, predictions: Sequence[int]) -> None:
        """`adversarial.npz`: inputs, predictions, labels, indices."""
        shape = (len(self.data), *self.data.shape)
        small = {"predictions": np.array(predictions), "labels": self.data.labels.numpy(), "indices": self.data.indices.numpy()}
        with self.run.writing(ADVERSARIAL) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("inputs.npy", "w", force_zip64=True) as member:
                head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, head)
                self._copy(member)
            for name, array in small.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.asarray(array))
        Path(self.run.path / PART).unlink()

    def _copy(self, member: IO[bytes]) -> None:
        size = len(self.data) * self._bytes
        for start in range(0, size, BLOCK):
            member.write(os.pread(self._file, min(BLOCK, size - start), start))
