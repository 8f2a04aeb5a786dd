"""Counterexamples: an input that a file of results names, evaluated exactly, and in every float32 evaluation order."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, Array, NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import LONGEST, Checked, assumption, check, in_words
from ballproof.certificate.checker.reading.problems import Case, read_problem, unpacked
from ballproof.certificate.checker.rounded import Bounds

VALUE = re.compile(r"\(\s*X_(\d{1,9})\s+([^\s()]{1,60})\s*\)")


def check_file(
    path: Path, network: Path, property_: Path, deployed: bool = False, exact: bool = False, seconds: float = LONGEST
) -> Checked:
    """A certificate, or a counterexample where the file begins with `sat`. Raises `RefusedError` unless it proves its claim."""
    with path.open("rb") as file:
        found = file.read(4).strip() == b"sat"
    if found:
        return check_counterexample(path, network, property_, deployed)
    return check(path, network, property_, deployed, exact, seconds)


def check_counterexample(path: Path, network: Path, property_: Path, deployed: bool = False) -> Checked:
    """Raises `RefusedError` unless the input, each number rounded to float32, lies in a box of the property and violates it.

    By fractions, in real numbers; deployed: in every float32 evaluation order.
    """
    problem, arithmetic = read_problem(network, property_), Arithmetic(deployed, exact=True)
    if problem.strict:
        raise NotModelledError("a strict comparison, for a counterexample")
    net = problem.network.of(arithmetic)
    x = arithmetic.number(_point(path, net.nodes[0].size))
    own = [c for c in problem.cases if all(a <= v <= b for a, v, b in zip(c.low, x, c.high, strict=True))]
    if not own:
        raise RefusedError("the input lies in no box of the property")
    semantics = ("every float32 evaluation order" if deployed else "real numbers") + assumption(net, arithmetic)
    bounds = Bounds(net, x[None], x[None], arithmetic)
    if not any(_violated(bounds, case) for case in own):
        raise RefusedError(f"the input does not violate the property in {semantics}")
    claim = "the input lies in the property's box and violates it"
    return Checked(claim, net.sha256, problem.sha256, semantics, in_words(net, arithmetic)[1], 1, 1)


def _violated(bounds: Bounds, case: Case) -> bool:
    """Whether all rows of the case are at most 0 at the point."""
    rows = np.zeros((1, len(case.rows), bounds.network.output.index.size), object)
    for row, (terms, _) in zip(rows[0], case.rows, strict=True):
        row[list(terms)] = [-value for value in terms.values()]
    ends = np.array([[Fraction(-offset) for _, offset in case.rows]], object)
    return bool((bounds.planes(rows, ends).least >= 0).all())


def _point(path: Path, count: int) -> Array:
    """The input that a file of results gives, each number rounded to float32. Raises `RefusedError` where it is none."""
    try:
        found = {int(place): float(value) for place, value in VALUE.findall(unpacked(path).decode("ascii", "replace"))}
    except ValueError as error:
        raise RefusedError(f"an input is no number: {error}") from error
    if set(found) != set(range(count)):
        raise RefusedError(f"the file gives {len(found)} inputs, the network has {count}")
    with np.errstate(over="ignore"):
        x = np.array([found[i] for i in range(count)]).astype(np.float32)
    if not np.isfinite(x).all():
        raise RefusedError("an input is not finite")
    return x.astype(np.float64)
