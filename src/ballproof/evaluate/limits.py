"""Boxes round the examples of a data set: how far each coordinate may fall and rise."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ballproof.data.npz import arrays_of
from ballproof.errors import InputError
from ballproof.problems import Box

NAMES = ("below", "above")


@dataclass(frozen=True, eq=False)
class Limits:
    """A coordinate may fall by `below` and rise by `above`, numbers >= 0 in the units of the data; both `(*input)`."""

    below: Tensor
    above: Tensor

    @staticmethod
    def read(path: Path, shape: tuple[int, ...]) -> Limits:
        """Those of a .npz file with the arrays `below` and `above`, which broadcast to one input of this shape."""
        arrays = arrays_of(path, NAMES)
        if set(arrays) != set(NAMES):
            raise InputError(f"{path} holds {', '.join(arrays) or 'nothing'}; expected the arrays {' and '.join(NAMES)}")
        return Limits(*(_ends(path, name, arrays[name], shape) for name in NAMES))

    @property
    def largest(self) -> float:
        """The farthest that any coordinate may move."""
        return float(torch.maximum(self.below, self.above).max())

    @property
    def digest(self) -> str:
        """Equal where all limits are."""
        return sha256(torch.stack([self.below, self.above]).numpy().tobytes()).hexdigest()

    def round(self, x: Tensor, clip: tuple[float, float] | None) -> Box:
        """The boxes round `x (batch, *input)`, cut with the valid range."""
        lower, upper = x - self.below.to(x), x + self.above.to(x)
        return Box(lower, upper) if clip is None else Box(lower.clamp(*clip), upper.clamp(*clip))


def _ends(path: Path, name: str, array: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: `{name}` holds {array.dtype}, expected numbers")
    numbers = torch.from_numpy(array.astype(np.float32))
    if not bool((torch.isfinite(numbers) & (numbers >= 0)).all()):
        raise InputError(
            f"{path}: `{name}` holds numbers below 0, infinite ones or NaN; expected how far a coordinate may move"
        )
    try:
        return numbers.expand(shape).clone()
    except RuntimeError as error:
        raise InputError(f"{path}: `{name}` has shape {tuple(array.shape)}, which does not broadcast to {shape}") from error
