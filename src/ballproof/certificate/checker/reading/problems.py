"""What the checker takes of files: a network and a property in normal form.

The only door between the rooms: what proves takes nothing else of `reading/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ballproof.certificate.checker.network import Network, Root
from ballproof.certificate.checker.reading.content import unpacked
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import Case, read_cases, roots

__all__ = ["Case", "Problem", "read_problem", "unpacked"]


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
