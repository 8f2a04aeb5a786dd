"""A proof by boxes that the checker accepts, searched for with the checker's own bounds.

The search is that of the engine `inputs`, made anew in the checker's arithmetic: every line that is written has been
proven with all rounding errors taken off. Lines are streamed as boxes are decided; an interrupted run leaves a partial proof,
which the checker calls partial.
"""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ballproof.certificate.by_neurons import ViolatedError, graph_of, proven_by_neurons
from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.certificate import FORMAT, VERSION, check
from ballproof.certificate.checker.network import Network, Question, Root
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import read_cases, roots
from ballproof.certificate.checker.rounded import Bounds, Planes
from ballproof.certificate.checker.tree import BATCH, clipped
from ballproof.solve.inputs import FLOOR
from ballproof.solve.strategy import FEW_INPUTS, MANY_INPUTS

Array = np.ndarray[Any, np.dtype[Any]]
Decided = tuple[str, str, list[tuple[Array, Array]]]
"""The word of a box's line, where it is cut, and its halves."""

GAIN = 0.1
"""A clip is written where it takes off this share of some width; else it is not worth the check."""

NEURONS = 0.8
"""The share of the time for a proof by neurons where halving an input tells something as well."""

FLUSHED = 1.0
"""Seconds after which the lines that are known are written to the disk."""

FIRST = 0.8
"""The share of the time in which a proof for every float32 evaluation order is looked for; then one for real numbers."""


@dataclass(frozen=True)
class Written:
    """Whether the proof is whole, how many boxes it has, its seconds, and why it stopped or for what it is."""

    whole: bool
    boxes: int
    seconds: float
    reason: str = ""


def certificate_for(path: Path, network: Path, property_: Path, timeout: float) -> Written:
    """The strongest proof found in time, at `path`: for every float32 evaluation order, else for real numbers; else no file."""
    for deployed, share in ((True, FIRST), (False, 1.0)):
        written = write_certificate(path, network, property_, share * timeout, deployed)
        if written.whole:
            found = check(path, network, property_, deployed)  # raises where it does not
            return replace(written, reason=f"for {found.semantics.removeprefix('real numbers and ')}")
        timeout -= written.seconds
    path.unlink()
    return written


def write_certificate(path: Path, network: Path, property_: Path, timeout: float, deployed: bool = False) -> Written:
    """Search for a proof and write it to `path`; a proof that is not whole says so when it is checked.

    deployed: prove it for every float32 evaluation order of the network.
    """
    start = time.monotonic()
    net = read_network(network)
    cases, digest, _ = read_cases(property_)
    found = roots(cases, net)
    header: dict[str, Any] = {"format": FORMAT, "version": VERSION, "network": net.sha256, "property": digest}
    header |= {"roots": len(found), "semantics": "deployed" if deployed else "real"}
    with gzip.open(path, "wt", encoding="ascii", newline="\n", compresslevel=6) as file:
        lines = _Lines(file, start + timeout)
        lines.write(json.dumps(header))
        reason = f"time: {timeout:g} s are over with boxes open"
        try:
            whole = all(_proven(network, net, root, deployed, lines, number) for number, root in enumerate(found))
        except ViolatedError as error:
            whole, reason = False, str(error)
    return Written(whole, lines.count - 1, time.monotonic() - start, "" if whole else reason)


class _Lines:
    """A file whose lines are on the disk soon after they are written: they say how far it came, whatever happens next."""

    def __init__(self, file: TextIO, until: float) -> None:
        self.file, self.until, self.told, self.count = file, until, 0.0, 0

    def write(self, line: str) -> None:
        self.file.write(line + "\n")
        self.count += 1
        if time.monotonic() > self.told + FLUSHED:
            self.file.flush()
            self.told = time.monotonic()

    @property
    def left(self) -> float:
        return self.until - time.monotonic()


def _proven(path: Path, network: Network, root: Root, deployed: bool, lines: _Lines, number: int) -> bool:
    """Whether a root is proven in time; its tree is written meanwhile."""
    search, inputs = _Search(network, root, deployed), len(root.low)
    lines.write(f"r {number}")
    hard = inputs > FEW_INPUTS and search.decided([(0, root.low, root.high)])[0][0] != "p"
    if hard and (graph := graph_of(network, path)) is not None:
        share = NEURONS if inputs <= MANY_INPUTS else 1.0
        lines.write("g 0")
        if proven_by_neurons(network, graph, root, Arithmetic(deployed), share * lines.left, lines.write):
            lines.write("e")
            return True
        if lines.left <= 0:
            return False
        lines.write("x")
    return search.run(lines)


class _Search:
    """One root by boxes, many at a time."""

    def __init__(self, network: Network, root: Root, deployed: bool) -> None:
        self.network, self.root, self.deployed = network, root, deployed

    def run(self, lines: _Lines) -> bool:
        """Whether all boxes are proven in time; a line for each."""
        stack, count = [(0, self.root.low, self.root.high)], 1
        while stack:
            if lines.left < 0:
                return False
            batch, stack = stack[-BATCH:], stack[:-BATCH]
            for (place, _, _), (word, where, halves) in zip(batch, self.decided(batch), strict=True):
                lines.write(f"{word} {place} {where}".rstrip())
                stack += [(count + k, *half) for k, half in enumerate(halves)]
                count += len(halves)
        return True

    def decided(self, batch: list[tuple[int, Array, Array]]) -> list[Decided]:
        """What becomes of each box."""
        low, high = np.stack([b[1] for b in batch]), np.stack([b[2] for b in batch])
        question = self.root.question
        arithmetic = Arithmetic(self.deployed)
        try:
            planes = Bounds(self.network, low, high, arithmetic).planes(question.rows[None], question.offsets[None])
        except RefusedError:  # a function without a value, or an overflow: smaller boxes may have none
            if len(batch) > 1:
                return [self.decided([one])[0] for one in batch]
            return [_halved("s", low[0], high[0], np.ones(low.shape[1]))]
        ends = clipped(low, high, planes, question, arithmetic)
        gain = _gain(high - low, ends[1] - ends[0])
        weight = _weight(planes, _refuted(planes.least, question), question.groups)
        found: list[Decided] = []
        for i in range(len(batch)):
            if ends[2][i]:
                found.append(("p", "", []))
            elif gain[i] > GAIN:
                found.append(_halved("k", ends[0][i], ends[1][i], weight[i]))
            else:
                found.append(_halved("s", low[i], high[i], weight[i]))
        return found


def _gain(before: Array, after: Array) -> Array:
    """The largest share that a width lost, `(boxes,)`."""
    found: Array = (1 - after / np.where(before > 0, before, np.inf)).max(1, where=before > 0, initial=0.0)
    return found


def _weight(planes: Planes, gone: Array, groups: Array) -> Array:
    """How much the rows of open groups depend on each input, `(boxes, inputs)`."""
    open_ = ~gone[:, groups]
    found: Array = (np.abs(planes.slope) * open_[:, :, None]).max(1)
    return found


def _halved(word: str, low: Array, high: Array, weight: Array) -> Decided:
    """Along the input on which the rows depend most; the place needs no more than the digits of float32."""
    score = (weight + FLOOR * weight.max() + 1e-12) * (high - low)
    axis = int(score.argmax())
    at = float(np.float32((low[axis] + high[axis]) / 2))
    at = at if low[axis] < at < high[axis] else float((low[axis] + high[axis]) / 2)
    below, above = high.copy(), low.copy()
    below[axis] = above[axis] = at
    return word, f"{axis} {at.hex()}", [(low, below), (above, high)]


def _refuted(least: Array, question: Question) -> Array:
    """Whether some row of each group is positive all over the box, `(boxes, groups)`."""
    return np.stack([(least[:, question.groups == group] > 0).any(1) for group in range(question.count)], 1)
