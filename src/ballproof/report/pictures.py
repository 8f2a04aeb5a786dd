"""Inputs and their adversarial twins as small pictures."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ballproof.evaluate.twins import TWINS
from ballproof.report.section import Twin
from ballproof.runs import Run

SIDE = 112
"""Pixels of a picture's side on the page."""


def twins_of(run: Run) -> tuple[Twin, ...]:
    """The worst examples first; without pictures where inputs are no images."""
    if not run.has(TWINS):
        return ()
    with np.load(run.path / TWINS) as arrays:
        inputs, twins = arrays["inputs"], arrays["twins"]
    told = run.read_json("twins.json")
    proven = sorted(row["margin"] for row in told if row["certified"])
    middle = proven[len(proven) // 2] if proven else 0.0
    return tuple(_twin(x, twin, row, middle) for x, twin, row in zip(inputs, twins, told, strict=True))


def _twin(x: NDArray[Any], twin: NDArray[Any], row: dict[str, Any], middle: float) -> Twin:
    largest = float(np.abs(twin - x).max())
    shown = pictures(x, twin) if x.ndim == 3 and x.shape[0] in (1, 3) else {}
    told = f"No. {row['index']}: is {row['label']}, answered {row['prediction']}, twin answered {row['twin_prediction']}; "
    told += f"largest change {largest:.3g}" + (f", shown {0.5 / largest:.3g} times." if shown and largest > 0 else ".")
    if row["certified"]:
        group = "2 Certified by the largest margins" if row["margin"] >= middle else "1 Certified by the least margins"
        margin = f"at least {row['margin']:.3g}" if row["margin"] > 0 else "positive"
        verdict = f"Certified, margin {margin}."
        return Twin(group, told, verdict, True, row["label"], row["twin_prediction"], shown)
    verdict = "Broken." if row["attacked"] else "Neither proven nor broken."
    return Twin("0 Not certified", told, verdict, False, row["label"], row["twin_prediction"], shown)


def pictures(x: NDArray[Any], twin: NDArray[Any]) -> dict[str, str]:
    """An image, its twin and their magnified difference as data addresses."""
    return {"input": address(x), "twin": address(twin), "change": address(magnified(x, twin))}


def magnified(x: NDArray[Any], twin: NDArray[Any]) -> NDArray[Any]:
    """The difference as an image: grey is no change, black and white the largest one."""
    scale = float(np.abs(twin - x).max())
    return 0.5 + 0.5 * (twin - x) / scale if scale > 0 else np.full_like(x, 0.5)


def png(image: NDArray[Any], side: int = SIDE) -> bytes:
    """An image `(channels, height, width)` in [0, 1] as a PNG file, enlarged without smoothing to about `side` pixels."""
    from PIL import Image

    pixels = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    times = max(1, side // max(picture.size))
    buffer = BytesIO()
    picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def address(image: NDArray[Any]) -> str:
    """The picture as a data address."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()
