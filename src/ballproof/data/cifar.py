"""CIFAR-10 as Parquet files in the layout of Hugging Face: `img: {bytes, path}`, `label`."""

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
    files = _find(split, folder)
    parts = [_read(file) for file in files]
    pixels = torch.from_numpy(np.concatenate([images for images, _ in parts])).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.concatenate([found for _, found in parts]))
    note = "" if len(labels) == WHOLE[split] else f"{len(labels)} of the {WHOLE[split]} {split} images"
    return Dataset(pixels.float().div_(255), labels, "cifar10", split, 10, note=note)


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
