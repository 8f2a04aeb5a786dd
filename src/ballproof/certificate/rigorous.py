"""`Rigorous`: which examples the checker accepts a proof of, for tables whose certified rows are proven to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.pool import ThreadPool
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.network import Network, Question, Root
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.rounded import Bounds

Array = np.ndarray[Any, np.dtype[Any]]

ONE_AT_ONCE = Lock()
"""Who limits the threads of BLAS, for the whole process, until they are given back."""


@dataclass(frozen=True)
class Rigorous:
    """An ONNX file as the checker reads it, and the ball: all points within eps of x in every coordinate, cut with `clip`.

    deployed: for every float32 evaluation order of the network, not only in real numbers. folder: where the property and the
    certificate of each example are written. seconds: for each example that lines of slope 0 or 1 alone do not prove.
    """

    path: Path
    network: Network
    eps: float
    clip: tuple[float, float] | None = None
    deployed: bool = False
    folder: Path | None = None
    seconds: float = 10.0

    @staticmethod
    def of(
        path: Path,
        eps: float,
        clip: tuple[float, float] | None,
        deployed: bool = False,
        folder: Path | None = None,
        seconds: float = 10.0,
    ) -> Rigorous:
        """For an ONNX file. Raises `NotModelledError` for layers that the checker has no rule for; deployed: for functions too
        whose float32 values would have to be assumed."""
        network = read_network(path)
        if deployed and network.assumed:
            raise NotModelledError(f"float32 values of {', '.join(network.assumed)}, which no standard fixes")
        return Rigorous(path, network, eps, clip, deployed, folder, seconds)

    def proves(self, x: Array, labels: Array, index: list[int]) -> Array:
        """Whether the checker accepts a proof that no point of an example's ball has another class, `(n,) bool`.

        x: `(n, *input)` float32. labels: `(n,)`. index: of the examples in the data set, by which files are named.
        """
        if self.folder is not None:
            return np.array([self._written(self.folder, *each) for each in zip(x, labels, index, strict=True)])
        found: Array = np.asarray((self.margins(x, labels) > 0).all(1))
        for i in np.flatnonzero(~found):
            found[i] = self._by_neurons(x[i], int(labels[i]))
        return found

    def margins(self, x: Array, labels: Array) -> Array:
        """Proven lower values of the label's logit minus each other one, `(n, classes - 1)`, with all rounding taken off."""
        with ONE_AT_ONCE, threadpool_limits(1, "blas"), ThreadPool(torch.get_num_threads()) as pool:
            return np.array(pool.starmap(self._margins, zip(x, labels.tolist(), strict=True)))

    def _margins(self, x: Array, label: int) -> Array:
        low, high = self._box(x)
        rows = self._rows(label)
        try:
            bounds = Bounds(self.network, low[None], high[None], Arithmetic(self.deployed))
            found: Array = bounds.planes(rows[None], np.zeros((1, len(rows)))).least[0]
        except RefusedError:  # a function without a value somewhere, or an overflow: nothing is proven
            return np.full(len(rows), -np.inf)
        return found

    def _box(self, x: Array) -> tuple[Array, Array]:
        """The ball, rounded outward."""
        flat = x.ravel().astype(np.float64)
        low, high = np.nextafter(flat - self.eps, -np.inf), np.nextafter(flat + self.eps, np.inf)
        return (low, high) if self.clip is None else (np.maximum(low, self.clip[0]), np.minimum(high, self.clip[1]))

    def _rows(self, label: int) -> Array:
        eye = np.eye(self.network.output.index.size)
        return np.asarray(eye[label] - np.delete(eye, label, 0))

    def _by_neurons(self, x: Array, label: int) -> bool:
        from ballproof.certificate.by_neurons import ViolatedError, graph_of, proven_by_neurons

        rows = self._rows(label)
        root = Root(*self._box(x), Question(rows, np.zeros(len(rows)), np.arange(len(rows))))
        graph = graph_of(self.network, self.path)
        arithmetic = Arithmetic(self.deployed)
        try:
            return graph is not None and proven_by_neurons(
                self.network, graph, root, arithmetic, self.seconds, lambda line: None
            )
        except ViolatedError:
            return False

    def _written(self, folder: Path, x: Array, label: int, index: int) -> bool:
        """Whether a certificate was found and checked; its files, with the example's property, are in the folder then."""
        from ballproof.certificate.checker.certificate import check
        from ballproof.certificate.writer import write_certificate

        folder.mkdir(parents=True, exist_ok=True)
        claim, proof = folder / f"{index:06}.vnnlib", folder / f"{index:06}.certificate.gz"
        claim.write_text(ball_property(*self._box(x), int(label), self.network.output.index.size))
        if write_certificate(proof, self.path, claim, self.seconds, self.deployed).whole:
            check(proof, self.path, claim, self.deployed)
            return True
        claim.unlink()
        proof.unlink()
        return False


def ball_property(low: Array, high: Array, label: int, classes: int) -> str:
    """A VNN-LIB file that no input of the box may satisfy: another class is at least as high as the label. Exact decimals."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(low))] + [f"(declare-const Y_{j} Real)" for j in range(classes)]
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        lines += [f"(assert (>= X_{i} {Decimal(float(a)):f}))", f"(assert (<= X_{i} {Decimal(float(b)):f}))"]
    others = " ".join(f"(and (<= Y_{label} Y_{j}))" for j in range(classes) if j != label)
    return "\n".join([*lines, f"(assert (or {others}))"]) + "\n"
