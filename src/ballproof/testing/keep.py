"""A counterexample on disk: arrays, and a picture where the inputs are images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ballproof.evaluate.assertion import Counterexample
from ballproof.report.pictures import SIDE, magnified, png


def keep(found: Counterexample, stem: Path) -> list[Path]:
    """Writes STEM.npz (input, point, label, answer) and, of images, STEM.png: input, point and magnified difference."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    x, point = found.input.numpy(), found.point.numpy()
    arrays = stem.with_name(stem.name + ".npz")
    np.savez_compressed(arrays, input=x, point=point, label=found.label, answer=found.answer)
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        return [arrays]
    picture = stem.with_name(stem.name + ".png")
    picture.write_bytes(png(np.concatenate([x, point, magnified(x, point)], axis=2), 3 * SIDE))
    return [arrays, picture]
