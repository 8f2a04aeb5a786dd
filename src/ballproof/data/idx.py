"""MNIST and Fashion-MNIST in their official IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SOURCE = {"mnist": "yann.lecun.com/exdb/mnist or any mirror of it", "fashion-mnist": "github.com/zalandoresearch/fashion-mnist"}
MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion-mnist": {
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    },
}
"""MD5 of the published .gz files."""


def load_idx(name: str, split: str, folder: Path) -> Dataset:
    """Shape (1, 28, 28), pixels in [0, 1]; `note` says so where a .gz file is not byte for byte the published one."""
    notes: list[str] = []
    images, labels = (_read(name, folder, stem, notes) for stem in FILES[split])
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise InputError(f"{name}: images of shape {images.shape} and labels of shape {labels.shape} do not belong together")
    inputs = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return Dataset(inputs, torch.from_numpy(labels.astype(np.int64)), name, split, 10, note="; ".join(notes))


def _read(name: str, folder: Path, stem: str, notes: list[str]) -> NDArray[np.uint8]:
    path = _find(name, folder, stem)
    content = path.read_bytes()
    if path.suffix == ".gz":
        wanted = MD5[name].get(stem)
        if wanted and hashlib.md5(content, usedforsecurity=False).hexdigest() != wanted:
            notes.append(f"{path.name} is not the published file (another MD5)")
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path} is truncated or no gzip file ({error}); fetch it again from {SOURCE[name]}") from error
    return parse_idx(content, path, SOURCE[name])


def _find(name: str, folder: Path, stem: str) -> Path:
    places = [folder / name, folder / name.replace("-", "_"), folder, folder / name.upper() / "raw"]
    names = [f"{stem}.gz", stem, f"{stem.replace('-idx', '.idx')}"]
    for place in places:
        for file in names:
            if (place / file).is_file():
                return place / file
    raise InputError(f"no {stem}.gz (or {stem}) in {folder / name} or {folder}; get it from {SOURCE[name]}")


def parse_idx(content: bytes, path: Path, source: str) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes; anything else is refused, naming the file."""
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise InputError(f"{path} is not an IDX file of bytes; fetch it again from {source}")
    axes = content[3]
    head = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", content[4:head]) if len(content) >= head else ()
    if len(shape) != axes or len(content) - head != int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path} is truncated: {len(content)} bytes for an array of shape {shape}; fetch it from {source}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
