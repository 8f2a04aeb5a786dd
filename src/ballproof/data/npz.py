"""A user's own .npz file."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError
from ballproof.files import ALWAYS, MOST_RATIO

INPUTS, LABELS = ("inputs", "x", "images"), ("labels", "y")
Arrays = Mapping[str, NDArray[np.generic]]


def load_npz(path: Path, split: str) -> Dataset:
    """Arrays `inputs` (or x, images) `(n, *shape)` and `labels` (or y) `(n,)`, with `_train` and `_test` if there are splits.

    Bytes are divided by 255; floats must lie in [0, 1]. An image is `(channels, height, width)`: no axis is moved or
    added. `classes`, one integer, is optional: without it the highest label in the file plus one. `note` says so where
    the file has no splits, since train and test are the same examples then.
    """
    arrays = arrays_of(path, ("inputs", "labels"))
    suffix = f"_{split}" if any(name.endswith(("_train", "_test")) for name in arrays) else ""
    inputs, labels = (_pick(arrays, names, suffix, path) for names in (INPUTS, LABELS))
    note = "" if suffix else f"{path.name} has no splits: train and test are the same examples"
    pixels = torch.from_numpy(_scaled(inputs, path))
    whole, given = torch.from_numpy(_whole(labels, path)), "classes" in arrays
    return Dataset(pixels, whole, path.stem, split, _classes(arrays, path), note=note, classes_given=given)


def arrays_of(path: Path, expected: tuple[str, ...]) -> Arrays:
    """The arrays of an .npz file by name, plain ones only. expected: names for the advice where it is none."""
    advice = f"make it with numpy.savez(path, {', '.join(f'{name}=...' for name in expected)})"
    if not path.is_file():
        raise InputError(f"no file {path}; {advice}")
    with path.open("rb") as file:
        bare = file.read(6) == b"\x93NUMPY"
    if bare:
        raise InputError(f"{path} holds one bare array; {advice}")
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.removesuffix(".npy"): _array(archive, info) for info in archive.infolist()}
    except MemoryError as error:
        raise InputError(f"{path} holds more than the memory") from error
    except Exception as error:  # what the readers of zip files and of NumPy raise is not written down anywhere
        raise InputError(f"{path} is not a .npz file of plain arrays: {error}") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.generic]:
    """One array. Refused are members that unpack to far more than they take, and shapes that promise more than is there."""
    if info.file_size > max(ALWAYS, MOST_RATIO * info.compress_size):
        raise InputError(f"`{info.filename}` unpacks to {info.file_size >> 20} MiB, {MOST_RATIO} times what it takes: refused")
    with archive.open(info) as file:
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        if kind.hasobject or math.prod(shape) * kind.itemsize > info.file_size:
            raise InputError(
                f"`{info.filename}` promises {shape} of {kind}, more than its {info.file_size} bytes or no numbers"
            )
    with archive.open(info) as file:
        found: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
        return found


def _pick(arrays: Arrays, names: tuple[str, ...], suffix: str, path: Path) -> NDArray[np.generic]:
    wanted = [name + suffix for name in names]
    found = [name for name in wanted if name in arrays]
    if len(found) != 1:
        raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected exactly one of {', '.join(wanted)}")
    return arrays[found[0]]


def _scaled(inputs: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
    if inputs.ndim < 2 or not inputs.size:
        raise InputError(f"{path}: inputs have shape {inputs.shape}, expected (n, *shape) with n > 0")
    if inputs.dtype == np.uint8:
        return inputs.astype(np.float32) / np.float32(255)
    if not np.issubdtype(inputs.dtype, np.floating):
        raise InputError(f"{path}: inputs are {inputs.dtype}, expected bytes (uint8) or floats in [0, 1]")
    return inputs.astype(np.float32)


def _whole(labels: NDArray[np.generic], path: Path) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1 or not labels.size:
        raise InputError(f"{path}: labels are {labels.dtype} of shape {labels.shape}, expected integers (n,) with n > 0")
    return labels.astype(np.int64)


def _classes(arrays: Arrays, path: Path) -> int:
    if "classes" in arrays:
        given = arrays["classes"]
        if given.ndim or not np.issubdtype(given.dtype, np.integer):
            raise InputError(f"{path}: `classes` is {given.dtype} of shape {given.shape}, expected one integer")
        return int(given)
    names = {name + suffix for name in LABELS for suffix in ("", "_train", "_test")}
    return max(2, *(int(_whole(arrays[name], path).max()) + 1 for name in sorted(names & set(arrays))))
