"""Folders of images: what was written comes back; what does not fit is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ballproof.data import load
from ballproof.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("splits", [True, False])
def test_classes_are_folders_and_pixels_come_back(tmp_path: Path, splits: bool) -> None:
    base = tmp_path / "pets"
    for split in ("train", "test") if splits else ("",):
        for i, name in enumerate(["dog/b.png", "cat/a.png", "dog/a.png"]):
            write(base / split / name, PIXELS[i])
    (base / ("test" if splits else "") / "dog" / "notes.txt").write_text("no image")
    data = load(str(base), "test")
    assert (data.name, data.classes, data.shape, data.labels.tolist()) == ("pets", 2, (3, 5, 7), [0, 1, 1])
    wanted = torch.from_numpy(PIXELS[[1, 2, 0]].astype(np.float32) / 255).permute(0, 3, 1, 2)
    assert torch.equal(data.inputs, wanted)
    assert bool(data.note) != splits


def test_grey_images_have_one_channel_and_a_coloured_one_makes_three_of_all(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / "train" / name / "x.png", PIXELS[i, :, :, 0])
        write(tmp_path / "test" / name / "x.png", PIXELS[i])
    assert load(str(tmp_path), "train").shape == (1, 5, 7)
    assert load(str(tmp_path), "test").shape == (1, 5, 7)
    write(tmp_path / "train" / "b" / "y.png", PIXELS[2])
    assert load(str(tmp_path), "train").shape == load(str(tmp_path), "test").shape == (3, 5, 7)


def test_a_class_that_one_split_lacks_keeps_its_number(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / "train" / name / "x.png", PIXELS[0])
    write(tmp_path / "test" / "c" / "x.png", PIXELS[0])
    assert load(str(tmp_path), "test").labels.tolist() == [2]
    assert load(str(tmp_path), "test").classes == 3


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder for each"):
        load(str(tmp_path))
    write(tmp_path / "a" / "x.png", PIXELS[0])
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "y.png", PIXELS[0][:4])
    with pytest.raises(InputError, match=r"y\.png has shape .*one size"):
        load(str(tmp_path))
    (tmp_path / "b" / "y.png").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"y\.png holds an image that cannot be read"):
        load(str(tmp_path))
    write(tmp_path / "only" / "train" / "a" / "x.png", PIXELS[0])
    with pytest.raises(InputError, match="no folder `test`"):
        load(str(tmp_path / "only"), "test")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_more_than_eight_bits_are_refused_and_not_cut_off(tmp_path: Path, kind: type) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 4), 200, kind)).save(tmp_path / name / "x.tiff")
    with pytest.raises(InputError, match="8 bits"):
        load(str(tmp_path))
