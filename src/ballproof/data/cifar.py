"""CIFAR-10 as Parquet files in the layout of Hugging Face: `img: {bytes, path}`, `label`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError


def load_cifar10(split: str, folder: Path) -> Dataset:
    """Shape (3, 32, 32), pixels in [0, 1]; as many test images as the files hold, which `note` says if not 10,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = folder / "cifar10" if (folder / "cifar10").is_dir() else folder
    files = sorted(place.glob(f"{split}*.parquet"))
    if not files:
        raise InputError(f"no {split}*.parquet in {place}; get cifar10 in its plain_text Parquet form")
    images, labels = [], []
    for file in files:
        try:
            table = pq.read_table(file, columns=["img", "label"]).to_pydict()
        except (pa.ArrowInvalid, OSError, KeyError) as error:
            raise InputError(f"{file} is damaged or of another layout: {error}") from error
        images += [_pixels(image["bytes"], file) for image in table["img"]]
        labels += table["label"]
    inputs = torch.from_numpy(np.stack(images).astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
    whole = {"train": 50_000, "test": 10_000}[split]
    note = "" if len(labels) == whole else f"{len(labels)} of the {whole} {split} images"
    return Dataset(inputs, torch.tensor(labels), "cifar10", split, 10, note=note)


def _pixels(content: bytes, file: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{file} holds an image that cannot be read: {error}") from error
    if pixels.shape != (32, 32, 3):
        raise InputError(f"{file} holds an image of shape {pixels.shape}, expected (32, 32, 3)")
    return pixels
