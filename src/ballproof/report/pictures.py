"""Inputs and their adversarial twins as small pictures inside the page."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ballproof.evaluate.twins import TWINS
from ballproof.runs import Run

SIDE = 112
"""Pixels of a picture's side on the page."""


def twin_rows(run: Run) -> list[dict[str, Any]]:
    """One entry a shown example: pictures as data addresses, labels, margin; empty where inputs are no images."""
    if not run.has(TWINS):
        return []
    with np.load(run.path / TWINS) as arrays:
        inputs, twins = arrays["inputs"], arrays["twins"]
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        return []
    told = run.read_json("twins.json")
    return [_row(x, twin, row) for x, twin, row in zip(inputs, twins, told, strict=True)]


def _row(x: NDArray[Any], twin: NDArray[Any], row: dict[str, Any]) -> dict[str, Any]:
    change = twin - x
    scale = float(np.abs(change).max())
    magnified = 0.5 + 0.5 * change / scale if scale > 0 else np.full_like(change, 0.5)
    pictures = {"input": address(x), "twin": address(twin), "change": address(magnified)}
    return {**row, **pictures, "largest": scale, "magnified": 0.5 / scale if scale > 0 else 1.0}


def address(image: NDArray[Any]) -> str:
    """An image `(channels, height, width)` in [0, 1] as a PNG data address, enlarged without smoothing."""
    from PIL import Image

    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    times = max(1, SIDE // max(picture.size))
    buffer = BytesIO()
    picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
