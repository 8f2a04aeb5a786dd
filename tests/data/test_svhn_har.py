"""SVHN, UCI HAR and CIFAR-10's binary files: made here in the official layouts, and spoilt in every way that is refused."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ballproof.data import load
from ballproof.data.matlab import load_matlab
from ballproof.errors import InputError

RANDOM = np.random.default_rng(0)


def svhn(folder: Path, n: int = 7, **changes: object) -> np.ndarray:
    pixels = RANDOM.integers(0, 256, (32, 32, 3, n), dtype=np.uint8)
    labels = (np.arange(n) % 10 + 1).reshape(-1, 1).astype(np.uint8)
    savemat(folder / "test_32x32.mat", {"X": pixels, "y": labels, **changes})
    return pixels


def har(folder: Path, features: np.ndarray, labels: list[int]) -> None:
    place = folder / "UCI HAR Dataset" / "train"
    place.mkdir(parents=True)
    np.savetxt(place / "X_train.txt", features)
    np.savetxt(place / "y_train.txt", np.array(labels), fmt="%d")


def test_svhn_pixels_channels_and_the_digit_zero(tmp_path: Path) -> None:
    pixels = svhn(tmp_path, 12)
    data = load("svhn", "test", tmp_path)
    assert data.inputs.shape == (12, 3, 32, 32)
    assert data.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert float(data.inputs[3, 2, 5, 7]) == pytest.approx(pixels[5, 7, 2, 3] / 255)
    assert "12 of the 26032" in data.note


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"X": np.zeros((32, 32, 3, 4), np.uint8)}, "labels, expected"),
        ({"X": np.zeros((32, 32, 3, 7))}, "bytes"),
        ({"y": np.full((7, 1), 11)}, "outside of 1"),
        ({"y": np.full((7, 1), 1.5)}, "outside of 1"),
        ({"y": np.full((7, 1), np.nan)}, "outside of 1"),
        ({"y": np.array([["a"]])}, "lacks the arrays"),
    ],
)
def test_svhn_files_of_another_kind_are_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    svhn(tmp_path, **changes)
    with pytest.raises(InputError, match=told):
        load("svhn", "test", tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
def test_matlab_files_are_read_as_scipy_writes_and_reads_them(tmp_path: Path, kind: str, packed: bool) -> None:
    """Names of all lengths: up to four letters stand inside of the tag; words, complex numbers and lists are left out."""
    given = {name: RANDOM.integers(0, 100, shape).astype(kind) for name, shape in (("X", (2, 3, 4)), ("longer_name", (1, 1)))}
    file = tmp_path / "a.mat"
    savemat(file, {"word": "abc", "z": np.array([1j]), "cell": np.array([1, "b"], object), **given}, do_compression=packed)
    found, theirs = load_matlab(file, ("X", "longer_name", "word", "z", "cell")), loadmat(file)
    assert set(found) == set(given)
    for name, array in found.items():
        assert array.dtype == theirs[name].dtype and np.array_equal(array, theirs[name])


def test_matlab_arrays_that_promise_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"X": np.zeros((2, 3), np.uint8)})
    whole = file.read_bytes()
    shape = np.array([2, 3], "<i4").tobytes()
    for bad in (
        whole.replace(shape, np.array([2, 2**30], "<i4").tobytes()),
        whole[:-20],
        whole[:124] + b"\x01\x00MI" + whole[128:],
    ):
        file.write_bytes(bad)
        with pytest.raises(InputError, match=r"promises the shape|longer than the file|least byte first"):
            load_matlab(file, ("X",))
    savemat(file, {"X": np.zeros(2**26, np.uint8)}, do_compression=True)
    content = file.read_bytes()
    packed = zlib.compress(zlib.decompress(content[136:]) * 5)
    file.write_bytes(content[:128] + np.array([15, len(packed)], "<u4").tobytes() + packed)
    with pytest.raises(InputError, match="unpacks to more than 256 MiB"):
        load_matlab(file, ("X",))


def test_svhn_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"test_32x32\.mat.*ufldl"):
        load("svhn", "test", tmp_path)
    (tmp_path / "test_32x32.mat").write_bytes(b"no file of MATLAB")
    with pytest.raises(InputError, match="damaged"):
        load("svhn", "test", tmp_path)


def test_har_features_are_moved_and_said_to_be(tmp_path: Path) -> None:
    features = RANDOM.uniform(-1, 1, (5, 561))
    har(tmp_path, features, [1, 6, 3, 2, 5])
    data = load("har", "train", tmp_path)
    assert data.labels.tolist() == [0, 5, 2, 1, 4]
    assert data.classes == 6
    np.testing.assert_allclose(data.inputs.numpy(), (features + 1) / 2, atol=1e-6)
    assert "half" in data.note


@pytest.mark.parametrize(
    ("features", "labels", "told"),
    [
        (np.zeros((3, 560)), [1, 2, 3], "560"),
        (np.full((3, 561), 1.5), [1, 2, 3], r"\[-1, 1\]"),
        (np.zeros((3, 561)), [1, 2], "3 rows"),
        (np.zeros((3, 561)), [0, 1, 2], r"1 \.\. 6"),
    ],
)
def test_har_files_of_another_kind_are_refused(tmp_path: Path, features: np.ndarray, labels: list[int], told: str) -> None:
    har(tmp_path, features, labels)
    with pytest.raises(InputError, match=told):
        load("har", "train", tmp_path)


def test_har_files_that_are_missing_or_no_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="archive"):
        load("har", "train", tmp_path)
    har(tmp_path, np.zeros((1, 561)), [1])
    (tmp_path / "UCI HAR Dataset" / "train" / "X_train.txt").write_text("a b c")
    with pytest.raises(InputError, match="cannot be read"):
        load("har", "train", tmp_path)


def test_cifar_in_binary_records(tmp_path: Path) -> None:
    place = tmp_path / "cifar-10-batches-bin"
    place.mkdir()
    rows = RANDOM.integers(0, 256, (4, 3073), dtype=np.uint8)
    rows[:, 0] = [3, 0, 9, 1]
    (place / "test_batch.bin").write_bytes(rows.tobytes())
    data = load("cifar10", "test", tmp_path)
    assert data.labels.tolist() == [3, 0, 9, 1]
    assert float(data.inputs[2, 1, 4, 6]) == pytest.approx(rows[2, 1 + 1024 + 4 * 32 + 6] / 255)
    with pytest.raises(InputError, match="data_batch_1"):
        load("cifar10", "train", tmp_path)
    (place / "test_batch.bin").write_bytes(rows.tobytes()[:-1])
    with pytest.raises(InputError, match="records"):
        load("cifar10", "test", tmp_path)
