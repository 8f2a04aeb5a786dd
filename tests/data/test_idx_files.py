"""MNIST's file format: what a test writes comes back, what is damaged is named, the published files are recognised."""

from __future__ import annotations

import gzip
import hashlib
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from ballproof.data import load
from ballproof.errors import InputError

FOLDERS = {"mnist": "mnist", "fashion-mnist": "fashion_mnist"}
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
pytestmark = pytest.mark.filterwarnings("ignore:.*is not the published file")


def idx(array: np.ndarray, magic: int | None = None) -> bytes:
    """The bytes of an IDX file, written from the format's description: magic 0x00000800 + axes, then the axes, big-endian."""
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">{array.ndim + 1}I", magic, *array.shape) + array.tobytes()


def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    images[0].flat[:256] = np.arange(256)
    return images, np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)


def write(folder: Path, images: bytes, labels: bytes, packed: bool = False, suffix: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((IMAGES, images), (LABELS, labels)):
        end = (".gz" if packed else "") if suffix is None else suffix
        (folder / f"{name}{end}").write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("mnist", "mnist"),
        ("mnist", "."),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "FashionMNIST/raw"),
    ],
)
def test_what_was_written_comes_back(tmp_path: Path, name: str, place: str, packed: bool) -> None:
    images, labels = example()
    write(tmp_path / place, idx(images), idx(labels), packed)
    data = load(name, "test", tmp_path)
    assert (data.name, data.split, data.shape, data.classes) == (name, "test", (1, 28, 28), 10)
    assert data.labels.tolist() == labels.tolist()
    assert data.indices.tolist() == list(range(7))
    assert torch.equal(data.inputs.mul(255).round().to(torch.uint8).squeeze(1), torch.from_numpy(images))


def test_a_pixel_is_the_float32_nearest_to_its_fraction(tmp_path: Path) -> None:
    images, labels = example()
    write(tmp_path, idx(images), idx(labels))
    found = load("mnist", "test", tmp_path).inputs[0].flatten()[:256].numpy()
    for byte, value in enumerate(found):
        wanted, around = Fraction(byte, 255), [np.nextafter(value, np.float32(e)) for e in (-1, 2)]
        assert all(abs(Fraction(float(value)) - wanted) <= abs(Fraction(float(other)) - wanted) for other in around)


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (lambda i: idx(i)[:-1], idx, f"{IMAGES} is truncated: 5503 bytes, 5504 for shape"),
        (lambda i: idx(i) + b"\0", idx, f"{IMAGES} is too long"),
        (lambda i: idx(i)[:10], idx, f"{IMAGES} is truncated: it ends within its header"),
        (lambda _: b"", idx, f"{IMAGES} begins with nothing"),
        (lambda i: idx(i, 0x0D03), idx, f"{IMAGES} begins with 00 00 0d 03, expected 00 00 08 03"),
        (lambda i: idx(i[0]), idx, f"{IMAGES} begins with 00 00 08 02"),
        (idx, lambda v: idx(v)[:-2], f"{LABELS} is truncated"),
        (idx, lambda v: idx(v, 0x0803), f"{LABELS} begins with 00 00 08 03, expected 00 00 08 01"),
        (lambda i: idx(i[:6]), idx, r"holds \(6, 28, 28\) and .* \(7,\)"),
        (lambda i: idx(i[:, :14]), idx, r"expected \(n, 28, 28\)"),
        (idx, lambda v: idx(v + 5), r"label 10 of example 4 is not in 0\.\.9"),
        (lambda i: idx(i[:0]), lambda v: idx(v[:0]), "holds no examples"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, images, labels, told: str) -> None:  # type: ignore[no-untyped-def]
    pixels, classes = example()
    write(tmp_path, images(pixels), labels(classes))
    with pytest.raises(InputError, match=told):
        load("mnist", "test", tmp_path)


def test_an_empty_axis_beside_vast_ones_is_refused(tmp_path: Path) -> None:
    write(tmp_path, struct.pack(">4I", 0x0803, 0, 2**32 - 1, 2**32 - 1), idx(example()[1]))
    with pytest.raises(InputError, match="which no array can have"):
        load("mnist", "test", tmp_path)


def test_axes_whose_product_overflows_are_refused(tmp_path: Path) -> None:
    """2**32 elements in each of two products would wrap to nothing in 64 bits."""
    head = struct.pack(">4I", 0x0803, 2**31, 2**31, 4)
    write(tmp_path, head, idx(example()[1]))
    with pytest.raises(InputError, match=f"truncated: 16 bytes, {16 + 2**64}"):
        load("mnist", "test", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[: len(b) // 2], lambda b: b[:40] + bytes(40) + b[80:], lambda _: b"<html>", lambda b: b[:10] + b"\xff" * 20],
)
def test_a_damaged_gz_file_is_named_with_its_source(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    images, labels = example()
    write(tmp_path, idx(images), idx(labels), packed=True)
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.gz cannot be read: .*yann.lecun.com"):
        load("mnist", "test", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ballproof.data.idx.MOST_BYTES", 10_000)
    images, labels = example()
    write(tmp_path, idx(images) + bytes(20_000), idx(labels), packed=packed)
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte.* (has|unpacks to) more than .*yann.lecun.com"):
        load("mnist", "test", tmp_path)


def test_a_missing_file_is_named_with_the_places_and_the_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"no {IMAGES}.gz .* in {tmp_path}/mnist, .*get it from yann.lecun.com"):
        load("mnist", "test", tmp_path)
    images, labels = example()
    write(tmp_path / "mnist", idx(images), idx(labels))
    (tmp_path / "mnist" / LABELS).unlink()
    with pytest.raises(InputError, match=f"no {LABELS}.gz"):
        load("mnist", "test", tmp_path)


def test_images_and_labels_come_from_one_folder(tmp_path: Path) -> None:
    images, labels = example()
    write(tmp_path / "MNIST/raw", idx(images), idx(labels))
    write(tmp_path / "mnist", idx(images), idx(labels[::-1].copy()))
    (tmp_path / "mnist" / IMAGES).unlink()
    assert load("mnist", "test", tmp_path).labels.tolist() == labels.tolist()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.filterwarnings("error")
def test_files_other_than_the_published_ones_warn_and_are_noted(tmp_path: Path, packed: bool) -> None:
    images, labels = example()
    write(tmp_path, idx(images), idx(labels), packed)
    with pytest.warns(UserWarning, match="is not the published file of fashion-mnist") as seen:
        data = load("fashion-mnist", "test", tmp_path, limit=2)
    assert len(seen) == 2
    assert IMAGES in data.note and LABELS in data.note


GZ_MD5 = {  # as published beside the files, of the packed bytes; the library knows those of the content
    ("mnist", "train"): ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"),
    ("mnist", "test"): ("9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"),
    ("fashion-mnist", "test"): ("bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
}
PER_CLASS = {
    ("mnist", "train"): [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    ("mnist", "test"): [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ("fashion-mnist", "test"): [1000] * 10,
}


@pytest.mark.parametrize(("name", "split"), list(PER_CLASS))
@pytest.mark.filterwarnings("error")
def test_the_published_files_are_recognised_and_complete(data_dir: Path, name: str, split: str) -> None:
    part = "train" if split == "train" else "t10k"
    files = [data_dir / FOLDERS[name] / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    assert tuple(hashlib.md5(f.read_bytes(), usedforsecurity=False).hexdigest() for f in files) == GZ_MD5[name, split]
    data = load(name, split, data_dir)
    assert data.note == ""
    assert data.labels.bincount(minlength=10).tolist() == PER_CLASS[name, split]
    assert (data.shape, float(data.inputs.min()), float(data.inputs.max())) == ((1, 28, 28), 0.0, 1.0)


@pytest.mark.filterwarnings("error")
def test_unpacked_published_files_are_recognised_too(data_dir: Path, tmp_path: Path) -> None:
    for stem in (IMAGES, LABELS):
        (tmp_path / stem).write_bytes(gzip.decompress((data_dir / "mnist" / f"{stem}.gz").read_bytes()))
    assert load("mnist", "test", tmp_path).note == ""


def test_one_data_set_is_not_taken_for_the_other(data_dir: Path) -> None:
    with pytest.warns(UserWarning, match="not the published file of fashion-mnist"):
        data = load("fashion-mnist", "test", data_dir / "mnist")
    assert "not the published file of fashion-mnist" in data.note


def test_missing_training_images_of_fashion_mnist_are_named(data_dir: Path) -> None:
    if (data_dir / "fashion_mnist" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip("the training images of Fashion-MNIST are here, so nothing is missing")
    with pytest.raises(InputError, match=r"no train-images-idx3-ubyte.gz .*dataset-fashion-mnist"):
        load("fashion-mnist", "train", data_dir)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = example()
    write(tmp_path, idx(images), idx(labels))

    def refuse(path: Path, *_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=f"{IMAGES} cannot be read: .*Permission denied"):
        load("mnist", "test", tmp_path)
