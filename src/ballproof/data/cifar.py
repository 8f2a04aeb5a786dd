"""CIFAR-10: the official binary files, or Parquet files in the layout of Hugging Face (`img: {bytes, path}`, `label`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.parquet import Layout, load_parquet
from ballproof.errors import InputError

WHOLE = {"train": 50_000, "test": 10_000}
PLACES = ("cifar10", "cifar10/plain_text", ".", "plain_text")
LAYOUT = Layout("cifar10", "img", "RGB", (32, 32, 3), PLACES, WHOLE, "huggingface.co/datasets/uoft-cs/cifar10")


def load_cifar10(split: str, folder: Path) -> Dataset:
    """Shape (3, 32, 32), pixels in [0, 1], in the order of the files; all shards of a split must be there.

    As many test images as the files hold: `note` and `len` say so if that is not the whole split.
    """
    if (binary := _binary(split, folder)) is not None:
        return binary
    if (found := load_parquet(LAYOUT, split, folder)) is not None:
        return found
    told = f"no {split}*.parquet in {', '.join(str(folder / place) for place in PLACES)}"
    raise InputError(f"cifar10: {told}; get the Parquet files of cifar10 from {LAYOUT.source}")


BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
RECORD = 1 + 3 * 32 * 32


def _binary(split: str, folder: Path) -> Dataset | None:
    """The official binary version, if its folder is there: one label and 3,072 pixels a record, channels first."""
    base = next((folder / p for p in ("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin") if (folder / p).is_dir()), None)
    if base is None:
        return None
    parts = []
    for name in BATCHES[split]:
        file = base / name
        if not file.is_file():
            raise InputError(f"cifar10: no {file}; unpack cifar-10-binary.tar.gz of www.cs.toronto.edu/~kriz/cifar.html whole")
        content = np.frombuffer(file.read_bytes(), np.uint8)
        if not len(content) or len(content) % RECORD:
            raise InputError(f"{file} is damaged: {len(content)} bytes are no whole number of records of {RECORD}")
        parts.append(content.reshape(-1, RECORD))
    rows = np.concatenate(parts)
    pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy()).float().div_(255)
    note = "" if len(rows) == WHOLE[split] else f"{len(rows)} of the {WHOLE[split]} {split} images"
    return Dataset(pixels, torch.from_numpy(rows[:, 0].astype(np.int64)), "cifar10", split, 10, note=note)
