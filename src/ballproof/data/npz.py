"""A user's own .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

INPUTS, LABELS = ("inputs", "x", "images"), ("labels", "y")


def load_npz(path: Path, split: str) -> Dataset:
    """Arrays `inputs` (or x, images) `(n, *shape)` and `labels` (or y) `(n,)`; with a suffix `_train` or `_test` if split.

    Bytes are divided by 255, channels-last images are not turned; floats must lie in [0, 1].
    """
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs, labels = (_pick(arrays, names, split, path) for names in (INPUTS, LABELS))
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a .npz file of plain arrays: {error}") from error
    return _dataset(inputs, labels, path, split)


def _pick(arrays: np.lib.npyio.NpzFile, names: tuple[str, ...], split: str, path: Path) -> NDArray[np.generic]:
    for name in (*(f"{n}_{split}" for n in names), *names):
        if name in arrays.files:
            return arrays[name]
    raise InputError(f"{path} holds {', '.join(arrays.files) or 'nothing'}, expected one of {', '.join(names)}")


def _dataset(inputs: NDArray[np.generic], labels: NDArray[np.generic], path: Path, split: str) -> Dataset:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise InputError(f"{path}: labels are {labels.dtype} of shape {labels.shape}, expected integers (n,)")
    if inputs.ndim < 2:
        raise InputError(f"{path}: inputs have shape {inputs.shape}, expected (n, *shape)")
    if inputs.dtype == np.uint8:
        inputs = inputs.astype(np.float32) / 255
    elif not np.issubdtype(inputs.dtype, np.floating):
        raise InputError(f"{path}: inputs are {inputs.dtype}, expected bytes or floats in [0, 1]")
    classes = int(labels.max()) + 1 if labels.size else 0
    tensors = torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))
    return Dataset(*tensors, path.stem, split, max(2, classes))
