"""A user's own folder of images, a folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.parquet import decoded, opened
from ballproof.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def load_images(path: Path, split: str) -> Dataset:
    """Images in `PATH/train/CLASS/*` and `PATH/test/CLASS/*`, or in `PATH/CLASS/*` where there are no splits.

    Pixels in [0, 1], channels first, as a viewer shows them: turned as EXIF says, without transparent pixels; one channel where
    every training image is grey, else three. The classes are the folder names of both splits in order, but for hidden ones; an
    empty one is refused. All images must have one size: none is scaled or cut. `note` says so where the folder has no splits,
    since train and test are the same examples then, and where test images lose their colour because all training is grey.
    """
    splits = (path / "train").is_dir() or (path / "test").is_dir()
    base = path / split if splits else path
    if splits and not base.is_dir():
        raise InputError(f"{path} has no folder `{split}`")
    roots = [p for p in (path / "train", path / "test") if p.is_dir()] if splits else [path]
    names = sorted({p.name for root in roots for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")})
    if len(names) < 2:
        raise InputError(f"{base} holds the classes {', '.join(names) or 'nothing'}; expected a folder for each of two or more")
    empty = [name for name in names if not any(_files(root / name) for root in roots)]
    if empty and len(empty) < len(names):
        raise InputError(
            f"{base} holds the folder `{empty[0]}` without images ({', '.join(ENDINGS)}); remove it: it is no class"
        )
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
    coloured = sum(not _grey(f) for f, _ in files) if mode == "L" and splits and split == "test" else 0
    note = "" if splits else f"{path.name} has no splits: train and test are the same examples"
    note = f"{coloured} coloured images are read as grey, because all of the training is" if coloured else note
    labels = torch.tensor([label for _, label in files])
    return Dataset(inputs.float().div_(255), labels, path.name, split, len(names), note=note)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*") if f.suffix.lower() in ENDINGS)


def _grey(file: Path) -> bool:
    with opened(file.read_bytes(), file) as image:
        return image.mode in ("1", "L")
