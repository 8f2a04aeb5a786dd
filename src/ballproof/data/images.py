"""A user's own folder of images, a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.parquet import decoded
from ballproof.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def load_images(path: Path, split: str) -> Dataset:
    """Images in `PATH/train/CLASS/*` and `PATH/test/CLASS/*`, or in `PATH/CLASS/*` where there are no splits.

    Pixels in [0, 1], channels first; one channel where every training image is grey, else three. The classes
    are the folder names of both splits in order. All images must have one size: none is scaled or cut. `note` says so where the
    folder has no splits, since train and test are the same examples then.
    """
    splits = (path / "train").is_dir() or (path / "test").is_dir()
    base = path / split if splits else path
    if splits and not base.is_dir():
        raise InputError(f"{path} has no folder `{split}`")
    roots = [p for p in (path / "train", path / "test") if p.is_dir()] if splits else [path]
    names = sorted({p.name for root in roots for p in root.iterdir() if p.is_dir()})
    if len(names) < 2:
        raise InputError(f"{base} holds the classes {', '.join(names) or 'nothing'}; expected a folder for each of two or more")
    mode = "L" if all(_grey(f) for name in names for f in _files(roots[0] / name)) else "RGB"
    files = [(f, label) for label, name in enumerate(names) for f in _files(base / name)]
    if not files:
        raise InputError(f"{base} holds no images ({', '.join(ENDINGS)}) in its class folders")
    pixels = [decoded(f.read_bytes(), mode, f) for f, _ in files]
    for (file, _), each in zip(files, pixels, strict=True):
        if each.shape != pixels[0].shape:
            told = f"{file} has shape {each.shape} and {files[0][0]} {pixels[0].shape}"
            raise InputError(f"{told}: all images must have one size; scale them first")
    stacked = torch.from_numpy(np.stack(pixels))
    inputs = stacked.unsqueeze(1) if mode == "L" else stacked.permute(0, 3, 1, 2).contiguous()
    note = "" if splits else f"{path.name} has no splits: train and test are the same examples"
    labels = torch.tensor([label for _, label in files])
    return Dataset(inputs.float().div_(255), labels, path.name, split, len(names), note=note)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*") if f.suffix.lower() in ENDINGS)


def _grey(file: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return image.mode in ("1", "L")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{file} holds an image that cannot be read: {error}") from error
