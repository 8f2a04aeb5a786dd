"""CIFAR-10 in Parquet: files that the test writes, and the canonical pixels."""

from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ballproof.data import load
from ballproof.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = [0, 9, 3, 3, 1, 7]


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def write(path: Path, images: list[bytes | None], labels: list[int | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": content, "path": None} for content in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"img": pa.array(rows, kind), "label": pa.array(labels, pa.int64())}), path)


def pictures(*places: int) -> list[bytes | None]:
    return [png(PIXELS[k]) for k in places]


@pytest.mark.parametrize("place", ["cifar10", "cifar10/plain_text", "."])
def test_what_was_written_comes_back_in_the_order_of_the_shards(tmp_path: Path, place: str) -> None:
    write(tmp_path / place / "train-00001-of-00002.parquet", pictures(3, 4, 5), list(LABELS[3:]))
    write(tmp_path / place / "train-00000-of-00002.parquet", pictures(0, 1, 2), list(LABELS[:3]))
    data = load("cifar10", "train", tmp_path)
    assert (data.shape, data.labels.tolist(), data.note) == ((3, 32, 32), LABELS, "6 of the 50000 train images")
    assert torch.equal(data.inputs.mul(255).round().byte(), torch.from_numpy(PIXELS).permute(0, 3, 1, 2))
    assert torch.equal(data.inputs, torch.from_numpy(PIXELS.astype(np.float32) / 255).permute(0, 3, 1, 2))


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train-00001-of-00002.parquet", pictures(0), [0])
    with pytest.raises(InputError, match=r"train-00001-of-00002.parquet: a shard is missing"):
        load("cifar10", "train", tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        ([b"no picture"], [0], "holds an image that cannot be read"),
        ([png(PIXELS[0])[:500]], [0], "holds an image that cannot be read"),
        ([png(PIXELS[0][:, :16])], [0], r"shape \(32, 16, 3\)"),
        ([None], [0], "some without an image or a label"),
        (pictures(0), [None], "some without an image or a label"),
        ([], [], "holds no examples"),
        (pictures(0), [10], r"label 10 of example 0 is not in 0\.\.9"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, images: list[bytes | None], labels: list[int | None], told: str) -> None:
    write(tmp_path / "test.parquet", images, labels)
    with pytest.raises(InputError, match=told):
        load("cifar10", "test", tmp_path)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no test\*.parquet in .*huggingface.co"):
        load("cifar10", "test", tmp_path)
    path = tmp_path / "test.parquet"
    for table in ({"image": [b""], "label": [0]}, {"img": [b""], "label": [0]}, {"img": [{"bytes": b""}], "label": ["cat"]}):
        pq.write_table(pa.table(table), path)
        with pytest.raises(InputError, match=r"test.parquet is damaged or of another layout"):
            load("cifar10", "test", tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"test.parquet is damaged"):
        load("cifar10", "test", tmp_path)


def test_the_first_thousand_test_images_have_canonical_pixels(data_dir: Path) -> None:
    data = load("cifar10", "test", data_dir)
    assert (len(data), data.note) == (1000, "1000 of the 10000 test images")
    with np.load(data_dir / "cifar10" / "labels_canonical_order.npz") as arrays:
        assert data.labels.tolist() == arrays["test"][:1000].tolist()
    with np.load(data_dir / "cifar10" / "test_subsets.npz") as arrays:
        near = arrays["test_index"] < 1000
        places, images = arrays["test_index"][near], arrays["images"][near]
    assert len(places) > 10
    found = data.inputs[torch.from_numpy(places)].mul(255).round().byte()
    assert torch.equal(found, torch.from_numpy(images).permute(0, 3, 1, 2))


@pytest.mark.slow
def test_the_whole_training_set_has_the_published_statistics(data_dir: Path) -> None:
    data = load("cifar10", "train", data_dir)
    assert (len(data), data.note, data.labels.bincount().tolist()) == (50_000, "", [5000] * 10)
    mean = data.inputs.mean((0, 2, 3))
    std = (data.inputs.square().mean((0, 2, 3)) - mean.square()).sqrt()
    assert mean.tolist() == pytest.approx([0.49140, 0.48216, 0.44653], abs=2e-5)
    assert std.tolist() == pytest.approx([0.24703, 0.24349, 0.26159], abs=2e-5)
    with np.load(data_dir / "cifar10" / "labels_canonical_order.npz") as arrays:
        assert data.labels.tolist() == arrays["train"].tolist()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_mnist_comes_from_parquet_where_there_are_no_idx_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.replace("-", "_")
    folder.mkdir()
    grey = np.random.default_rng(1).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    rows = [{"bytes": png(image), "path": None} for image in grey]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array([7, 0, 9], pa.int64())})
    pq.write_table(table, folder / "test-00000-of-00001.parquet")
    data = load(name, "test", tmp_path)
    assert (data.name, data.shape, data.labels.tolist()) == (name, (1, 28, 28), [7, 0, 9])
    assert torch.equal(data.inputs[:, 0], torch.from_numpy(grey.astype(np.float32) / 255))
    assert data.note == "3 of the 10000 test images"


@pytest.mark.parametrize("moved", [False, True])
def test_a_whole_parquet_split_is_compared_with_the_published_files(data_dir: Path, tmp_path: Path, moved: bool) -> None:
    """The 10,000 published test images, once as they are and once with one pixel of one image changed by one."""
    images, labels = (
        np.frombuffer(gzip.decompress((data_dir / "mnist" / f"t10k-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=head)
        for kind, head in (("images-idx3", 16), ("labels-idx1", 8))
    )
    grey = images.reshape(-1, 28, 28).copy()
    grey[17, 3, 4] ^= moved
    rows = [{"bytes": b"P5 28 28 255\n" + image.tobytes(), "path": None} for image in grey]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind), "label": pa.array(labels.astype(np.int64))})
    (tmp_path / "mnist").mkdir()
    pq.write_table(table, tmp_path / "mnist" / "test-00000-of-00001.parquet")
    note = load("mnist", "test", tmp_path).note
    assert note == ("not the content of the published t10k-images-idx3-ubyte of mnist (another MD5)" if moved else "")
