"""Parquet files in the layout of Hugging Face: encoded images `{bytes, path}` beside a `label`."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.data.dataset import Dataset
from ballproof.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes that it turns into grey or colour without loss of range; others it cuts off silently."""


@dataclass(frozen=True)
class Layout:
    """name: of the data set. column: that of the images. mode: Pillow's. shape: of the pixels read. places: folders looked in.
    whole: examples of each split. source: where the files are from."""

    name: str
    column: str
    mode: str
    shape: tuple[int, ...]
    places: tuple[str, ...]
    whole: dict[str, int]
    source: str


def load_parquet(layout: Layout, split: str, folder: Path) -> Dataset | None:
    """Pixels in [0, 1], channels first, in the order of the shards; None where there are no such files.

    All shards of a split must be there. `note` and `len` say so if the files do not hold the whole split.
    """
    files = _find(layout, split, folder)
    if not files:
        return None
    parts = [_read(layout, file) for file in files]
    pixels = torch.from_numpy(np.concatenate([images for images, _ in parts]))
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(np.concatenate([found for _, found in parts]))
    whole = layout.whole[split]
    note = "" if len(labels) == whole else f"{len(labels)} of the {whole} {split} images"
    return Dataset(pixels.float().div_(255), labels, layout.name, split, 10, note=note)


def _find(layout: Layout, split: str, folder: Path) -> list[Path]:
    places = [folder / place for place in layout.places]
    files = next((f for place in places if (f := sorted(place.glob(f"{split}*.parquet")))), [])
    numbered = [re.search(r"-(\d+)-of-(\d+)\.parquet$", file.name) for file in files]
    shards = [(int(m[1]), int(m[2])) for m in numbered if m]
    if shards and shards != [(i, len(files)) for i in range(len(files))]:
        names = ", ".join(file.name for file in files)
        told = f"{files[0].parent} holds {names}: a shard is missing or of another set; get it from the same place"
        raise InputError(f"{layout.name}: {told}")
    return files


def _read(layout: Layout, file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(f"{file} needs pyarrow: pip install 'ballproof[parquet]'") from error
    try:
        table = pq.read_table(file, columns=[layout.column, "label"])
        labels = table["label"].cast(pa.int64())
        encoded: list[Any] = pc.struct_field(table[layout.column], "bytes").to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{file} is damaged or of another layout: {error}") from error
    if not encoded or None in encoded or labels.null_count:
        raise InputError(f"{file} holds no examples, or some without an image or a label")
    pixels = [decoded(content, layout.mode, file) for content in encoded]
    wrong = next((p.shape for p in pixels if p.shape != layout.shape), None)
    if wrong is not None:
        raise InputError(f"{file} holds an image of shape {wrong}, expected {layout.shape}")
    return np.stack(pixels), np.array(labels.to_pylist(), np.int64)


def decoded(content: bytes, mode: str, file: Path) -> NDArray[np.uint8]:
    """The pixels of one image in Pillow's `mode`."""
    with opened(content, file) as image:
        return np.asarray(image.convert(mode))


MOST_PIXELS = 2**25
"""Of an image: a hundred megabytes unpacked, which a file of a few bytes may promise."""

UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error)
"""What Pillow's readers of formats raise on damaged files."""


@contextmanager
def opened(content: bytes, file: Path) -> Iterator[Image.Image]:
    """One image of 8 bits a channel as a viewer shows it, turned as its EXIF orientation says.

    What cannot be read is refused, naming the file; transparent pixels are, because they have no colour of their own.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image: Image.Image = Image.open(BytesIO(content))
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels, expected at most {MOST_PIXELS:,}")
        if image.mode not in EIGHT_BITS:
            raise ValueError(f"its mode is {image.mode}, expected one of 8 bits a channel")
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise ValueError("it has transparent pixels; put it on a background first")
        yield ImageOps.exif_transpose(image)
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise InputError(f"{file} holds an image that cannot be read: {error}") from error
