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


def test_hidden_folders_are_no_classes_and_empty_ones_are_refused(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / name / "x.png", PIXELS[i])
    write(tmp_path / ".ipynb_checkpoints" / "x-checkpoint.png", PIXELS[2])
    assert load(str(tmp_path)).classes == len(load(str(tmp_path))) == 2
    (tmp_path / "__pycache__").mkdir()
    with pytest.raises(InputError, match="`__pycache__` without images"):
        load(str(tmp_path))


def test_colour_that_is_taken_off_is_told(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / "train" / name / "x.png", PIXELS[i, :, :, 0])
        write(tmp_path / "test" / name / "x.png", PIXELS[i, :, :, 0])
    assert load(str(tmp_path), "test").note == ""
    write(tmp_path / "test" / "b" / "x.png", PIXELS[1])
    assert load(str(tmp_path), "test").note.startswith("1 coloured images are read as grey")
    assert load(str(tmp_path), "train").note == ""


def test_transparent_pixels_are_refused_and_opaque_ones_are_read(tmp_path: Path) -> None:
    """Behind a pixel that cannot be seen any colour may stand."""
    alpha = np.full((5, 7, 1), 255, np.uint8)
    for i, name in enumerate("ab"):
        write(tmp_path / name / "x.png", np.concatenate([PIXELS[i], alpha], 2))
    wanted = torch.from_numpy(PIXELS[:2].astype(np.float32) / 255).permute(0, 3, 1, 2)
    assert torch.equal(load(str(tmp_path)).inputs, wanted)
    alpha[2, 3] = 0
    write(tmp_path / "a" / "x.png", np.concatenate([PIXELS[0], alpha], 2))
    with pytest.raises(InputError, match=r"x\.png holds an image that cannot be read: it has transparent pixels"):
        load(str(tmp_path))


def test_images_are_turned_as_a_viewer_shows_them(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / name / "x.png", PIXELS[i])
    turned = Image.fromarray(np.rot90(PIXELS[0]).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # to be shown turned by a quarter clockwise, which undoes the turn above
    turned.save(tmp_path / "a" / "x.png", exif=exif)
    assert torch.equal(load(str(tmp_path)).inputs[0], torch.from_numpy(PIXELS[0].astype(np.float32) / 255).permute(2, 0, 1))


def test_an_image_that_claims_to_be_vast_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate("ab"):
        write(tmp_path / name / "x.png", PIXELS[i])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow refuses more than twice as many
    with pytest.raises(InputError, match=r"x\.png holds an image that cannot be read: .*decompression bomb"):
        load(str(tmp_path))
