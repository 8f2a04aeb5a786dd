"""`download`: the official files of a data set, fetched where a network is and kept only if their checksum is the known one."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

from ballproof.errors import InputError

BLOCK = 2**20
TIMEOUT = 60.0


@dataclass(frozen=True)
class Remote:
    """One file: where it is, where it goes inside of the data folder, the MD5 or SHA-256 of its content; for a `.tar.gz`, or a
    `.zip` in a `.zip`, the folder in it, which is unpacked beside it."""

    url: str
    path: str
    digest: str
    folder: str = ""


def _four(base: str, place: str, sums: tuple[str, ...]) -> tuple[Remote, ...]:
    stems = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return tuple(Remote(f"{base}/{s}.gz", f"{place}/{s}.gz", m) for s, m in zip(stems, sums, strict=True))


REMOTES: dict[str, tuple[Remote, ...]] = {
    "mnist": _four(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "mnist",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": _four(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "fashion-mnist",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "cifar10": (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
            "cifar-10-batches-bin",
        ),
    ),
    "svhn": tuple(
        Remote(f"http://ufldl.stanford.edu/housenumbers/{split}_32x32.mat", f"svhn/{split}_32x32.mat", md5)
        for split, md5 in (("train", "e26dedcc434d2e4c54c9b2d4a06d8373"), ("test", "eb5a983be6a315427106f1b164d9cef3"))
    ),
    "har": (
        Remote(  # no checksum stands at the source; two projects that are apart from each other pin this one
            "https://archive.ics.uci.edu/static/public/240/human+activity+recognition+using+smartphones.zip",
            "human+activity+recognition+using+smartphones.zip",
            "c00b803081a5c797cd5e4b83700a9810b38d53d9d84e01917e090e1fdbc81031",
            "UCI HAR Dataset",
        ),
    ),
}


def download(name: str, folder: Path) -> list[Path]:
    """Fetch what is not there yet; returns the files and folders that are new. A `.tar.gz` or `.zip` is unpacked beside itself.

    A file whose checksum is not the known one is removed again and refused. Files and folders get their names when they are
    whole: a kill leaves none that is not. Raises `InputError` where there is no network, or no known checksum of that data set.
    """
    if name not in REMOTES:
        raise InputError(f"`{name}` cannot be downloaded: known are {', '.join(REMOTES)}")
    found = []
    for remote in REMOTES[name]:
        path = folder / remote.path
        unpacked = path.parent / remote.folder
        if remote.folder and unpacked.is_dir():
            continue
        if not path.is_file():
            _fetch(remote, path)
            found.append(path)
        elif remote.folder and _digest(path, remote.digest) != remote.digest:
            raise InputError(
                f"{path} is not the published file: its checksum is not {remote.digest}; remove it to fetch it again"
            )
        if remote.folder:
            _unpack(path, unpacked)
            found.append(unpacked)
    return found


def _begun(digest: str) -> hashlib._Hash:
    """The sum that such a digest is of."""
    return hashlib.sha256() if len(digest) == 64 else hashlib.md5(usedforsecurity=False)


def _digest(path: Path, like: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: _begun(like)).hexdigest()


def _unpack(path: Path, unpacked: Path) -> None:
    """Into a folder beside, then renamed."""
    try:
        with TemporaryDirectory(prefix=".", suffix=".part", dir=path.parent) as beside:
            _extract(path, beside, f"{unpacked.name}.zip")
            (Path(beside) / unpacked.name).replace(unpacked)
    except (tarfile.TarError, BadZipFile, KeyError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} could not be unpacked to {unpacked}: {error}; remove it to fetch it again") from error


def _extract(path: Path, place: str, inner: str) -> None:
    """inner: the name of the packed file in a `.zip`."""
    if path.suffix != ".zip":
        with tarfile.open(path) as packed:
            for member in packed:
                _take(packed, member, Path(place).resolve())
        return
    with ZipFile(path) as outer, ZipFile(io.BytesIO(outer.read(inner))) as zipped:
        zipped.extractall(place)  # noqa: S202  (never outside of `place`, and the checksum is known)


def _take(packed: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """A plain file within `place`; anything else but a folder is refused. (`filter="data"` is missing before Python 3.11.4.)"""
    target = (place / member.name).resolve()
    source = packed.extractfile(member) if member.isfile() and target.is_relative_to(place) else None
    if source is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
    elif not member.isdir():
        raise tarfile.TarError(f"`{member.name}` is no plain file inside of the archive")


def _fetch(remote: Remote, path: Path) -> None:
    """Written beside, checked, renamed."""
    beside, seen = path.with_name(f".{path.name}.{os.getpid()}.part"), _begun(remote.digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(remote.url, timeout=TIMEOUT) as answer, beside.open("wb") as file:  # noqa: S310  (the table above)
            while block := answer.read(BLOCK):
                seen.update(block)
                file.write(block)
    except (URLError, OSError, HTTPException) as error:
        beside.unlink(missing_ok=True)
        raise InputError(f"{remote.url} could not be fetched to {path}: {error}") from error
    if seen.hexdigest() != remote.digest:
        beside.unlink()
        raise InputError(
            f"{remote.url} is not the published file: checksum {seen.hexdigest()}, expected {remote.digest}; nothing was kept"
        )
    beside.replace(path)
