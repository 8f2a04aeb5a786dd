"""A user's own .npz file: what is documented is read, everything else is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ballproof.data import load
from ballproof.errors import InputError

FLOATS = np.random.default_rng(0).random((6, 3, 4))
LABELS = np.array([0, 2, 1, 0, 2, 2])


def saved(folder: Path, **arrays: object) -> Path:
    path = folder / "own.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("inputs", ["inputs", "x", "images"])
@pytest.mark.parametrize("labels", ["labels", "y"])
def test_each_documented_name_is_read(tmp_path: Path, inputs: str, labels: str) -> None:
    data = load(saved(tmp_path, **{inputs: FLOATS, labels: LABELS}), "test")
    assert (data.name, data.split, data.shape, data.classes) == ("own", "test", (3, 4), 3)
    assert torch.equal(data.inputs, torch.from_numpy(FLOATS).float())
    assert data.labels.tolist() == LABELS.tolist()


def test_bytes_are_divided_by_255(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    data = load(str(saved(tmp_path, images=pixels, labels=np.array([0, 1, 1, 0], np.uint8))), "train")
    assert data.inputs.flatten().tolist() == [float(np.float32(k / 255)) for k in range(256)]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_of_any_width_become_float32(tmp_path: Path, kind: type) -> None:
    data = load(saved(tmp_path, x=FLOATS.astype(kind), y=LABELS))
    assert torch.equal(data.inputs, torch.from_numpy(FLOATS.astype(kind).astype(np.float32)))


def test_splits_are_told_apart_and_share_their_classes(tmp_path: Path) -> None:
    path = saved(tmp_path, x_train=FLOATS, y_train=LABELS, x_test=FLOATS[:2], y_test=LABELS[:1].repeat(2))
    train, test = load(path, "train"), load(path, "test")
    assert (len(train), len(test), test.labels.tolist()) == (6, 2, [0, 0])
    assert train.classes == test.classes == 3
    assert train.note == test.note == ""


def test_a_file_without_splits_says_that_train_and_test_are_the_same(tmp_path: Path) -> None:
    assert "has no splits" in load(saved(tmp_path, x=FLOATS, y=LABELS), "train").note


def test_classes_may_be_given_and_then_bind_the_labels(tmp_path: Path) -> None:
    assert load(saved(tmp_path, x=FLOATS, y=LABELS, classes=5)).classes == 5
    with pytest.raises(InputError, match=r"label 2 of example 1 is not in 0\.\.1"):
        load(saved(tmp_path, x=FLOATS, y=LABELS, classes=2))


def changed(value: float) -> np.ndarray:
    copy = FLOATS.copy()
    copy[2, 1, 1] = value
    return copy


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": changed(float("nan")), "y": LABELS}, "own: inputs hold NaN"),
        ({"x": changed(float("inf")), "y": LABELS}, "infinities"),
        ({"x": FLOATS * 255, "y": LABELS}, r"expected \[0, 1\]; scale them \(bytes: divide by 255\)"),
        ({"x": FLOATS - 0.5, "y": LABELS}, r"expected \[0, 1\]; .*normalisation the model's first layer"),
        ({"x": (FLOATS * 9).astype(int), "y": LABELS}, "inputs are int64, expected bytes"),
        ({"x": FLOATS + 0j, "y": LABELS}, "inputs are complex128"),
        ({"x": FLOATS[:, 0, 0], "y": LABELS}, r"inputs have shape \(6,\)"),
        ({"x": FLOATS[:0], "y": LABELS[:0]}, "n > 0"),
        ({"x": FLOATS, "y": LABELS - 1}, "label -1 of example 0"),
        ({"x": FLOATS, "y": np.full(6, 2**63, np.uint64)}, "label -"),
        ({"x": FLOATS, "y": LABELS + 0.0}, "labels are float64"),
        ({"x": FLOATS, "y": LABELS[:, None]}, r"labels are int64 of shape \(6, 1\)"),
        ({"x": FLOATS, "y": LABELS[:5]}, "6 inputs, 5 labels"),
        ({"x": FLOATS}, "own.npz holds x; expected exactly one of labels, y"),
        ({"x": FLOATS, "inputs": FLOATS, "y": LABELS}, "exactly one of inputs, x, images"),
        ({"x_train": FLOATS, "y_train": LABELS}, "expected exactly one of inputs_test"),
        ({"x_test": FLOATS, "y": LABELS}, "expected exactly one of labels_test"),
        ({"x": FLOATS, "y": LABELS, "classes": 2.5}, "`classes` is float64"),
        ({"x": FLOATS, "y": np.array([None] * 6)}, "plain arrays"),
    ],
)
def test_what_is_not_documented_is_refused(tmp_path: Path, arrays: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load(saved(tmp_path, **arrays))


def test_files_that_are_none_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with pytest.raises(InputError, match=r"no file .*own.npz; make it with numpy.savez"):
        load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"own.npz is not a .npz file"):
        load(path)
    with path.open("wb") as file:
        np.save(file, FLOATS)
    with pytest.raises(InputError, match="one bare array"):
        load(path)


def test_truncated_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=FLOATS, y=LABELS)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:300] + b"damage" + whole[306:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"own\.npz"):
            load(path)


def test_a_damaged_compressed_array_is_refused(tmp_path: Path) -> None:
    """The first stream begins after a header of 30 bytes, a name and an extra field; deflate has no block of type 3."""
    path = tmp_path / "own.npz"
    np.savez_compressed(path, x=FLOATS, y=LABELS)
    content = bytearray(path.read_bytes())
    start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.npz is not a .npz file of plain arrays"):
        load(path)
