"""Counterexamples of ONNX files, replayed before they are claimed."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ballproof.graph import Graph
from ballproof.problems.vnnlib import Case, Row
from ballproof.solve.declared import Part

Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Witness:
    """An input of the file's own precision and shape, the output that the runtime gave for it, and which runtime."""

    x: Numbers
    y: Numbers
    runtime: str


class Replay:
    """Asks the files themselves: by ONNX Runtime on the CPU where it is installed, else by the graph in the files' precision.

    parts: several networks take their inputs one behind the other, and tell their outputs so, hidden values behind them.
    """

    def __init__(self, parts: Sequence[Part], graph: Graph) -> None:
        self.parts, self.graph = parts, graph
        self.sessions: list[Any] = []
        self.runtime = "onnxruntime" if find_spec("onnxruntime") else "ballproof"
        self.kind: Any = np.float64 if graph.dtype == torch.float64 else np.float32

    def __call__(self, x: Numbers) -> Numbers:
        """The outputs `(outputs,)` for one input `(inputs,)`, each of several behind the other in the order of the files."""
        if self.runtime == "ballproof":
            with torch.no_grad():
                return self.graph(torch.from_numpy(x).reshape(1, *self.graph.input_shape)).numpy().reshape(-1)
        if not self.sessions:
            self._open()
        found, start = [], 0
        for session in self.sessions:
            fed = {}
            for given in session.get_inputs():
                shape = [n if isinstance(n, int) and n > 0 else 1 for n in given.shape]
                fed[given.name] = x[start : start + prod(shape)].reshape(shape).astype(_kind(given), copy=False)
                start += prod(shape)
            found += [_told(np.asarray(y).reshape(-1)) for y in session.run(None, fed)]
        return np.concatenate(found)

    def _open(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        for part in self.parts:
            source = gzip.decompress(part.path.read_bytes()) if part.path.suffix == ".gz" else str(part.path)
            source = _telling(source, part.hidden) if part.hidden else source
            self.sessions.append(onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"]))
        if all(_kind(given) is np.float64 for session in self.sessions for given in session.get_inputs()):
            self.kind = np.float64

    def witness(self, case: Case, x: Numbers) -> Witness | None:
        """The violation nearest to `x (inputs,)`, strictly inside the box in the file's precision, met exactly; or None."""
        if not self.sessions and self.runtime == "onnxruntime":
            self._open()
        inside = within(case, x, self.kind)
        if inside is None:
            return None
        y = self(inside)
        return Witness(inside, y, self.runtime) if np.isfinite(y).all() and violates(case, inside, y) else None


def _kind(given: Any) -> Any:
    return np.float64 if "double" in given.type else np.float32


def _told(y: Numbers) -> Numbers:
    """Numbers as floats; NaN in place of whole ones that no double is."""
    if np.issubdtype(y.dtype, np.floating):
        return y
    found = y.astype(np.float64)
    return np.where(np.abs(found) < 2.0**53, found, np.nan)


def _telling(source: bytes | str, hidden: Sequence[str]) -> bytes:
    """The model with hidden values as further outputs."""
    import onnx

    model = onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load_model(source)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in hidden)
    return bytes(model.SerializeToString())


def within(case: Case, x: Numbers, kind: Any) -> Numbers | None:
    """The point moved into the box as numbers of this precision; None where the box holds none."""
    low, high = case.lower.astype(kind), case.upper.astype(kind)
    low = np.where(low < case.lower, np.nextafter(low, kind(np.inf)), low).astype(kind)
    high = np.where(high > case.upper, np.nextafter(high, kind(-np.inf)), high).astype(kind)
    for i in case.strict_lower:
        low[i] = np.nextafter(low[i], kind(np.inf)) if low[i] == case.lower[i] else low[i]
    for i in case.strict_upper:
        high[i] = np.nextafter(high[i], kind(-np.inf)) if high[i] == case.upper[i] else high[i]
    empty = low > high
    if empty.any():
        # no number of this precision lies between the ends: a constant input is read by the network as its nearest number
        if (case.upper[empty].astype(kind) != case.lower[empty].astype(kind)).any():
            return None
        low[empty] = high[empty] = case.lower[empty].astype(kind)
    moved: Numbers = np.minimum(np.maximum(x.astype(kind), low), high)
    return moved


def violates(case: Case, x: Numbers, y: Numbers) -> bool:
    """Whether some group of the case holds, in exact rational arithmetic of these numbers."""
    return any(all(_holds(row, x, y) for row in group) for group in case.groups)


def _holds(row: Row, x: Numbers, y: Numbers) -> bool:
    total = -Fraction(row.bound)
    for terms, values in ((row.on_y, y), (row.on_x, x)):
        for number, factor in terms:
            total += Fraction(factor) * Fraction(float(values[number]))
    known = {"X": x, "Y": y}
    for factors, factor in row.on_products:
        total += Fraction(factor) * prod(Fraction(float(known[kind][number])) for kind, number in factors)
    return total < 0 if row.strict else total <= 0
