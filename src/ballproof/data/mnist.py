"""MNIST and Fashion-MNIST in their official IDX files, gzipped or not, or in Parquet files in the layout of Hugging Face."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.data.idx import parse_idx, read_content, unparsed_idx
from ballproof.data.parquet import Layout, load_parquet
from ballproof.errors import InputError

STEMS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Published:
    """Where the files are published, the folders they are looked for in, the MD5 of each file's *unpacked* content.

    Unpacked, because a file that was packed anew or never packed is the same data.
    """

    source: str
    places: tuple[str, ...]
    md5: dict[str, str]


PUBLISHED = {
    "mnist": Published(
        "yann.lecun.com/exdb/mnist or a mirror of it",
        ("mnist", "MNIST/raw", "."),
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion-mnist": Published(
        "github.com/zalandoresearch/fashion-mnist or Debian's package dataset-fashion-mnist",
        ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "."),
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}


def load_mnist(name: str, split: str, folder: Path) -> Dataset:
    """Shape (1, 28, 28), pixels in [0, 1]; an empty `note` means: bit for bit the published images and labels.

    A file with other content warns and is named in `note`; one that is missing, truncated or foreign raises `InputError`.
    Parquet files are read where there are no IDX files, and compared with those as if they were written there.
    """
    if not _places(name, STEMS[split], folder) and (found := load_parquet(_layout(name), split, folder)) is not None:
        return found if found.note else replace(found, note=_compared(found))
    notes: list[str] = []
    files = _find(name, STEMS[split], folder)
    images, labels = (_read(name, path, stem, notes) for path, stem in zip(files, STEMS[split], strict=True))
    if images.shape[1:] != (28, 28) or len(images) != len(labels):
        raise InputError(f"{files[0]} holds {images.shape} and {files[1]} {labels.shape}, expected (n, 28, 28) and (n,)")
    inputs = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return Dataset(inputs, torch.from_numpy(labels.astype(np.int64)), name, split, 10, note="; ".join(notes))


def _layout(name: str) -> Layout:
    """Of the Parquet files."""
    low = name.replace("-", "_")
    places = tuple(dict.fromkeys(p + s for p in (*PUBLISHED[name].places, low) for s in ("", f"/{low}")))
    return Layout(name, "image", "L", (28, 28), places, {"train": 60_000, "test": 10_000}, "huggingface.co/datasets")


def _places(name: str, stems: tuple[str, ...], folder: Path) -> list[Path]:
    """The folders that hold any of the files."""
    places = [folder / place for place in PUBLISHED[name].places]
    return [p for p in places if any(_locate(p, stem) is not None for stem in stems)]


def _find(name: str, stems: tuple[str, ...], folder: Path) -> list[Path]:
    """The files of all stems from one folder: the first of those that hold most of them."""
    places = [folder / place for place in PUBLISHED[name].places]
    place = max(places, key=lambda p: sum(_locate(p, stem) is not None for stem in stems))
    found = {stem: _locate(place, stem) for stem in stems}
    missing = [stem for stem, path in found.items() if path is None]
    if missing:
        told = f"no {missing[0]}.gz (nor {missing[0]}) in {', '.join(map(str, places))}"
        raise InputError(f"{name}: {told}; get it from {PUBLISHED[name].source}")
    return [path for path in found.values() if path is not None]


def _locate(place: Path, stem: str) -> Path | None:
    names = (f"{stem}.gz", stem, stem.replace("-idx", ".idx"))  # the last: as some unpackers name it
    return next((place / n for n in names if (place / n).is_file()), None)


def _read(name: str, path: Path, stem: str, notes: list[str]) -> NDArray[np.uint8]:
    about = PUBLISHED[name]
    content = read_content(path, about.source)
    array = parse_idx(content, path, about.source, axes=3 if "images" in stem else 1)
    if not _published(name, stem, content):
        notes.append(f"{path.name} is not the published file of {name} (another MD5)")
        warnings.warn(f"{notes[-1]}: {path}", stacklevel=2)
    return array


def _published(name: str, stem: str, content: bytes) -> bool:
    return hashlib.md5(content, usedforsecurity=False).hexdigest() == PUBLISHED[name].md5[stem]


def _compared(data: Dataset) -> str:
    """The note of images and labels that come from other files: empty if the published files hold them, byte for byte."""
    arrays = data.inputs.squeeze(1).mul(255).round().byte().numpy(), data.labels.byte().numpy()
    stems = zip(STEMS[data.split], arrays, strict=True)
    other = [stem for stem, array in stems if not _published(data.name, stem, unparsed_idx(array))]
    return "; ".join(f"not the content of the published {stem} of {data.name} (another MD5)" for stem in other)
