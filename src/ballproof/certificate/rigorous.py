"""`Rigorous`: margins of examples by the checker's arithmetic, for tables whose certified rows are proven to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic
from ballproof.certificate.checker.network import Network, read_network
from ballproof.certificate.checker.rounded import Bounds

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rigorous:
    """A network as the checker reads it, and the ball: all points within eps of x in every coordinate, cut with `clip`.

    deployed: for every float32 evaluation order of the network, not only in real numbers.
    """

    network: Network
    eps: float
    clip: tuple[float, float] | None = None
    deployed: bool = False

    @staticmethod
    def of(path: Path, eps: float, clip: tuple[float, float] | None, deployed: bool = False) -> Rigorous:
        """For an ONNX file. Raises `NotModelledError` for layers that the checker has no rule for."""
        return Rigorous(read_network(path), eps, clip, deployed)

    def margins(self, x: Array, labels: Array) -> Array:
        """Proven lower values of the label's logit minus each other one, `(n, classes - 1)`, with all rounding taken off.

        x: `(n, *input)` float32. labels: `(n,)`.
        """
        flat = x.reshape(len(x), -1).astype(np.float64)
        low, high = np.nextafter(flat - self.eps, -np.inf), np.nextafter(flat + self.eps, np.inf)
        if self.clip is not None:
            low, high = np.maximum(low, self.clip[0]), np.minimum(high, self.clip[1])
        classes = self.network.output.index.size
        found = np.empty((len(x), classes - 1))
        for i, label in enumerate(labels):
            others = np.delete(np.arange(classes), label)
            rows = np.eye(classes)[label] - np.eye(classes)[others]
            bounds = Bounds(self.network, low[i : i + 1], high[i : i + 1], Arithmetic(self.deployed))
            found[i] = bounds.planes(rows[None], np.zeros((1, classes - 1))).least[0]
        return found
