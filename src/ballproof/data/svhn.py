"""Street View House Numbers, cropped digits, in the official MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

SIZES = {"train": 73_257, "test": 26_032}
MOST = 600_000
"""Images of a file; the largest published one has 531,131."""

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
    from scipy.io import loadmat, whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(file)}
        if "X" not in shapes or shapes["X"][:3] != (32, 32, 3) or shapes["X"][3:] > (MOST,) or max(shapes["y"]) > MOST:
            raise ValueError(f"it holds {shapes}, expected X (32, 32, 3, n) and y (n, 1)")
        found = loadmat(file, variable_names=["X", "y"])
        pixels, labels = found["X"], found["y"].reshape(-1).astype(np.int64)
    except (MemoryError, Exception) as error:  # what the reader raises on damaged files is not written down anywhere
        raise InputError(f"{file} is damaged or of another layout: {error}") from error
    if pixels.ndim != 4 or pixels.shape != (32, 32, 3, len(labels)) or pixels.dtype != np.uint8:
        raise InputError(f"{file} holds pixels of shape {pixels.shape} and {len(labels)} labels, expected (32, 32, 3, n) bytes")
    if not len(labels) or labels.min() < 1 or labels.max() > 10:
        raise InputError(f"{file} holds labels outside of 1 .. 10, or no examples")
    return pixels, labels
