"""UCI Human Activity Recognition: 561 features of a telephone's motion, six activities, in the official text files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

FEATURES, CLASSES = 561, 6
PLACES = ("UCI HAR Dataset", "har/UCI HAR Dataset", "har", ".")
NOTE = "features moved from [-1, 1] to [0, 1]: an eps here is half of one in the features' own units"


def load_har(split: str, folder: Path) -> Dataset:
    """Shape (561,), features moved from their range [-1, 1] to [0, 1], labels 0 .. 5 (the files count from 1)."""
    base = next((folder / p for p in PLACES if (folder / p / split / f"X_{split}.txt").is_file()), None)
    if base is None:
        told = f"no {split}/X_{split}.txt in {', '.join(str(folder / p) for p in PLACES)}"
        raise InputError(f"har: {told}; get the Human Activity Recognition data from archive.ics.uci.edu")
    features = _numbers(base / split / f"X_{split}.txt", FEATURES)
    labels = _numbers(base / split / f"y_{split}.txt", 1)[:, 0]
    if len(features) != len(labels):
        raise InputError(f"{base / split} holds {len(features)} rows of features and {len(labels)} labels")
    if not np.isin(labels, np.arange(1, CLASSES + 1)).all():
        raise InputError(f"{base / split / f'y_{split}.txt'} holds labels outside of 1 .. {CLASSES}")
    if not (np.abs(features) <= 1).all():
        raise InputError(f"{base / split / f'X_{split}.txt'} holds features outside of [-1, 1]")
    inputs = torch.from_numpy((features + 1) / 2).float().clamp_(0, 1)
    return Dataset(inputs, torch.from_numpy(labels.astype(np.int64) - 1), "har", split, CLASSES, note=NOTE)


def _numbers(file: Path, columns: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an empty file is only warned of
            found = np.loadtxt(file, ndmin=2)
    except (OSError, ValueError, UserWarning) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if found.shape[1] != columns or not len(found):
        raise InputError(f"{file} holds rows of {found.shape[1]} numbers, expected {columns}")
    return found
