"""Counterexamples: an input that a file of results names, evaluated exactly, and in every float32 evaluation order."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.certificate import Checked, assumption, check, roots, told
from ballproof.certificate.checker.network import Array, Network
from ballproof.certificate.checker.operators import read_network, unpacked
from ballproof.certificate.checker.rounded import Bounds
from ballproof.certificate.checker.specification import Case, read_cases

VALUE = re.compile(r"\(\s*X_(\d{1,9})\s+([^\s()]{1,60})\s*\)")


def check_file(path: Path, network: Path, property_: Path, deployed: bool = False, exact: bool = False) -> Checked:
    """A certificate, or a counterexample where the file begins with `sat`. Raises `RefusedError` unless it proves its claim."""
    with path.open("rb") as file:
        found = file.read(4).strip() == b"sat"
    if found:
        return check_counterexample(path, network, property_, deployed)
    return check(path, network, property_, deployed, exact)


def check_counterexample(path: Path, network: Path, property_: Path, deployed: bool = False) -> Checked:
    """Raises `RefusedError` unless the input, each number rounded to float32, lies in a box of the property and violates it.

    By fractions, in real numbers; deployed: in every float32 evaluation order.
    """
    cases, digest = read_cases(property_)
    if re.search(rb"[<>](?!=)", unpacked(property_)):
        raise NotModelledError("a strict comparison, for a counterexample")
    arithmetic = Arithmetic(deployed, exact=True)
    read = read_network(network)
    roots(cases, read)  # refuses a property that does not fit the network
    net = read.of(arithmetic)
    x = _input(unpacked(path).decode("ascii", "replace"), net.nodes[0].size)
    exact = [Fraction(float(v)) for v in x]
    own = [c for c in cases if all(a <= v <= b for a, v, b in zip(c.low, exact, c.high, strict=True))]
    if not own:
        raise RefusedError("the input lies in no box of the property")
    semantics = ("every float32 evaluation order" if deployed else "real numbers") + assumption(net, arithmetic)
    if not any(_violated(net, case, x, arithmetic) for case in own):
        raise RefusedError(f"the input does not violate the property in {semantics}")
    claim = "the input lies in the property's box and violates it"
    return Checked(claim, net.sha256, digest, semantics, told(net, arithmetic)[1], 1, 1)


def _input(text: str, count: int) -> Array:
    found: dict[int, float] = {}
    for place, value in VALUE.findall(text):
        try:
            found[int(place)] = float(value)
        except ValueError:
            raise RefusedError(f"X_{place} is `{value[:20]}`, which is no number") from None
    if set(found) != set(range(count)):
        raise RefusedError(f"the file gives {len(found)} inputs, the network has {count}")
    with np.errstate(over="ignore"):
        x = np.array([found[i] for i in range(count)]).astype(np.float32)
    if not np.isfinite(x).all():
        raise RefusedError("an input is not finite")
    return x


def _violated(network: Network, case: Case, x: Array, arithmetic: Arithmetic) -> bool:
    """Whether all rows of the case are at most 0 at x."""
    point = arithmetic.number(x.astype(np.float64)[None])
    bounds = Bounds(network, point, point, arithmetic)
    size, asked = network.output.index.size, case.rows or (({}, Fraction(0)),)
    rows = np.array([[[-terms.get(i, Fraction(0)) for i in range(size)] for terms, _ in asked]])
    ends = np.array([[-offset for _, offset in asked]])
    return bool((bounds.planes(arithmetic.number(rows), arithmetic.number(ends)).least >= 0).all())
