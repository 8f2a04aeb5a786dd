"""What the checker takes of files: a network and a property in normal form, lines, and the input of a counterexample.

The only door between the rooms: what proves takes nothing else of `reading/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ballproof.certificate.checker.arithmetic import Array, RefusedError
from ballproof.certificate.checker.network import Network, Root
from ballproof.certificate.checker.reading.content import lines_of, unpacked
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import Case, read_cases, roots

__all__ = ["Case", "Problem", "lines_of", "read_point", "read_problem"]

VALUE = re.compile(r"\(\s*X_(\d{1,9})\s+([^\s()]{1,60})\s*\)")


@dataclass(frozen=True)
class Problem:
    """sha256: of the property. strict: whether it has comparisons without equality."""

    network: Network
    roots: list[Root]
    cases: list[Case]
    sha256: str
    strict: bool


def read_problem(network: Path, property_: Path) -> Problem:
    """Raises `NotModelledError` for what this checker has no rule for, or where the property does not fit the network."""
    net, (cases, sha256, strict) = read_network(network), read_cases(property_)
    return Problem(net, roots(cases, net), cases, sha256, strict)


def read_point(path: Path, count: int) -> Array:
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
