"""`load`: a data set by its name, or a user's own file."""

from __future__ import annotations

import os
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from ballproof.data.cifar import load_cifar10
from ballproof.data.dataset import Dataset
from ballproof.data.digits import load_digits
from ballproof.data.download import REMOTES, download
from ballproof.data.har import load_har
from ballproof.data.images import load_images
from ballproof.data.mnist import load_mnist
from ballproof.data.npz import load_npz
from ballproof.data.points import points
from ballproof.data.svhn import load_svhn
from ballproof.errors import InputError

NAMES = ("digits", "mnist", "fashion-mnist", "cifar10", "svhn", "har", "points")
SPLITS = ("train", "test")


def load(
    name: str | Path,
    split: str = "test",
    data_dir: Path | str | None = None,
    limit: int | None = None,
    fetch: bool = False,
) -> Dataset:
    """The split `train` or `test` of a data set, its first `limit` examples if given.

    name: one of `NAMES`, or one's own .npz file (see `load_npz`) or folder of images (see `load_images`). data_dir: where the
    files are, default $BALLPROOF_DATA. `digits` and `points` need no files; the same points serve both splits. Missing,
    truncated or foreign files raise `InputError` naming the file and its source. fetch: where the data cannot be read, download
    the official files that are not there, and read again.
    """
    if split not in SPLITS:
        raise InputError(f"`split` is {split!r}, expected train or test")
    if limit is not None and limit < 1:
        raise InputError(f"`limit` is {limit}, expected at least 1, or None for all")
    try:
        data = _load(str(name), split, data_dir)
    except InputError:
        if not fetch or str(name) not in REMOTES or not download(str(name), folder(str(name), data_dir)):
            raise
        data = _load(str(name), split, data_dir)
    if not len(data):
        raise InputError(f"{name}: the {split} split holds no examples")
    return data if limit is None else data.subset(list(range(min(limit, len(data)))))


def _load(name: str, split: str, data_dir: Path | str | None) -> Dataset:
    if name.endswith(".npz"):
        return load_npz(Path(name), split)
    if name not in NAMES and Path(name).is_dir():
        return load_images(Path(name), split)
    if name == "digits":
        return load_digits(split)
    if name == "points":
        return replace(points(), split=split)
    readers = {"cifar10": load_cifar10, "svhn": load_svhn, "har": load_har}
    readers |= {n: partial(load_mnist, n) for n in ("mnist", "fashion-mnist")}
    if name in readers:
        return readers[name](split, folder(name, data_dir))
    near = get_close_matches(name.lower(), NAMES, 1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    raise InputError(f"`data` is {name!r}, expected one of {', '.join(NAMES)}, a .npz file or a folder of images{hint}")


def folder(name: str, data_dir: Path | str | None) -> Path:
    """The data folder that was given, or the one in $BALLPROOF_DATA."""
    given = data_dir or os.environ.get("BALLPROOF_DATA")
    if not given:
        raise InputError(f"`{name}` is read from files: say where with --data-dir or $BALLPROOF_DATA")
    path = Path(given)
    if not path.is_dir():
        raise InputError(f"`data_dir` is {path}, which is no folder")
    return path
