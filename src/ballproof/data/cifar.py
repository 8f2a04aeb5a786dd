"""CIFAR-10: the official binary files, or Parquet files in the layout of Hugging Face (`img: {bytes, path}`, `label`)."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

WHOLE = {"train": 50_000, "test": 10_000}
PLACES = ("cifar10", "cifar10/plain_text", ".", "plain_text")


def load_cifar10(split: str, folder: Path) -> Dataset:
    """Shape (3, 32, 32), pixels in [0, 1], in the order of the files; all shards of a split must be there.

    As many test images as the files hold: `note` and `len` say so if that is not the whole split.
    """
    if (binary := _binary(split, folder)) is not None:
        return binary
    files = _find(split, folder)
    parts = [_read(file) for file in files]
    pixels = torch.from_numpy(np.concatenate([images for images, _ in parts])).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.concatenate([found for _, found in parts]))
    note = "" if len(labels) == WHOLE[split] else f"{len(labels)} of the {WHOLE[split]} {split} images"
    return Dataset(pixels.float().div_(255), labels, "cifar10", split, 10, note=note)


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


def _find(split: str, folder: Path) -> list[Path]:
    places = [folder / place for place in PLACES]
    files = next((f for place in places if (f := sorted(place.glob(f"{split}*.parquet")))), [])
    if not files:
        told = f"no {split}*.parquet in {', '.join(map(str, places))}"
        raise InputError(f"cifar10: {told}; get the Parquet files of cifar10 from huggingface.co/datasets/uoft-cs/cifar10")
    numbered = [re.search(r"-(\d+)-of-(\d+)\.parquet$", file.name) for file in files]
    shards = [(int(m[1]), int(m[2])) for m in numbered if m]
    if shards and shards != [(i, len(files)) for i in range(len(files))]:
        names = ", ".join(file.name for file in files)
        raise InputError(
            f"cifar10: {files[0].parent} holds {names}: a shard is missing or of another set; get it from the same place"
        )
    return files


def _read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=["img", "label"])
        labels = table["label"].cast(pa.int64())
        encoded: list[Any] = pc.struct_field(table["img"], "bytes").to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{file} is damaged or of another layout: {error}") from error
    if not encoded or None in encoded or labels.null_count:
        raise InputError(f"{file} holds no examples, or some without an image or a label")
    return np.stack([_pixels(content, file) for content in encoded]), np.array(labels.to_pylist(), np.int64)


def _pixels(content: bytes, file: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # all three come from the readers of image formats
        raise InputError(f"{file} holds an image that cannot be read: {error}") from error
    if pixels.shape != (32, 32, 3):
        raise InputError(f"{file} holds an image of shape {pixels.shape}, expected (32, 32, 3)")
    return pixels
