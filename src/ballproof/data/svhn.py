"""Street View House Numbers, cropped digits, in the official MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.matlab import load_matlab
from ballproof.errors import InputError

SIZES = {"train": 73_257, "test": 26_032}
PLACES = ("svhn", "SVHN", ".")


def load_svhn(split: str, folder: Path) -> Dataset:
    """Shape (3, 32, 32), pixels in [0, 1], in the order of the file; the file's label 10 is the digit 0."""
    name = f"{split}_32x32.mat"
    file = next((f for place in PLACES if (f := folder / place / name).is_file()), None)
    if file is None:
        told = f"no {name} in {', '.join(str(folder / place) for place in PLACES)}"
        raise InputError(f"svhn: {told}; get it from ufldl.stanford.edu/housenumbers")
    pixels, labels = _read(file)
    note = "" if len(labels) == SIZES[split] else f"{len(labels)} of the {SIZES[split]} {split} images"
    inputs = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))).float().div_(255)
    return Dataset(inputs, torch.from_numpy(labels % 10).long(), "svhn", split, 10, note=note)


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels `(32, 32, 3, n)` and labels `(n,)` in 1 .. 10."""
    found = load_matlab(file, ("X", "y"))
    if set(found) != {"X", "y"}:
        raise InputError(f"{file} lacks the arrays of numbers X (32, 32, 3, n) and y (n, 1)")
    pixels, labels = found["X"], found["y"].reshape(-1)
    if labels.dtype.kind == "f":
        labels = np.where(labels == labels.round(), labels, 0)  # NaN and halves too: no digit
    labels = labels.astype(np.int64)
    if pixels.ndim != 4 or pixels.shape != (32, 32, 3, len(labels)) or pixels.dtype != np.uint8:
        raise InputError(f"{file} holds pixels of shape {pixels.shape} and {len(labels)} labels, expected (32, 32, 3, n) bytes")
    if not len(labels) or labels.min() < 1 or labels.max() > 10:
        raise InputError(f"{file} holds labels outside of 1 .. 10, or no examples")
    return pixels, labels
