"""The file of a certificate, and what it has to be checked against: the hashes, the roots, a tree for each.

Or a counterexample: an input that a file of results names, evaluated exactly, or in every float32 evaluation order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.curves import CURVES
from ballproof.certificate.checker.network import Network, Root
from ballproof.certificate.checker.reading.problems import Case, Problem, lines_of, read_point, read_problem
from ballproof.certificate.checker.rounded import Bounds
from ballproof.certificate.checker.tree import Tree

FORMAT, VERSION = "ballproof certificate", 3

LONGEST = 3600.0
"""For one certificate: far more than any proof has needed, as checking one takes less time than finding it."""


@dataclass(frozen=True)
class Checked:
    """What was proven: of the network and the property with these hashes, under which semantics, in which arithmetic."""

    claim: str
    network: str
    asked: str
    semantics: str
    arithmetic: str
    roots: int
    lines: int


def check(
    certificate: Path, network: Path, property_: Path, deployed: bool = False, exact: bool = False, seconds: float = LONGEST
) -> Checked:
    """Raises `RefusedError` unless the certificate proves in this time that no input of the property's boxes violates it.

    Where the file begins with `sat`: unless the input that it names does.

    deployed: for every float32 evaluation order of the network, not only in real numbers. A certificate that was made for that
    is checked for that, which includes the real numbers. exact: in fractions.
    """
    with certificate.open("rb") as file:
        violated = file.read(4).strip() == b"sat"
    problem = read_problem(network, property_)
    if violated:
        return _violation(certificate, problem, Arithmetic(deployed, exact=True))
    cut: list[str] = []
    lines = lines_of(certificate, cut, seconds)
    try:
        header = json.loads(next(lines, ""))
    except (ValueError, RecursionError) as error:
        raise RefusedError("the first line is no header") from error
    wanted = {"format": FORMAT, "version": VERSION, "network": problem.network.sha256, "property": problem.sha256}
    for name, value in (wanted | {"roots": len(problem.roots)}).items():
        told = header.get(name) if isinstance(header, dict) else None
        if type(told) is not type(value) or told != value:
            raise RefusedError(f"the certificate is of another {name}: {str(told)[:20]}, not {str(value)[:20]}")
    if header.get("semantics") not in ("real", "deployed"):
        raise RefusedError("the semantics are neither `real` nor `deployed`")
    arithmetic = Arithmetic(deployed or header["semantics"] == "deployed", exact)
    found, net = problem.roots, problem.network.of(arithmetic)
    try:
        count = _proven(lines, found, net, arithmetic)
    except (OverflowError, MemoryError) as error:
        raise RefusedError(f"numbers or a box too large to check: {error}") from error
    if cut:
        raise RefusedError(cut[0])
    claim = f"no input of the property's {len(found)} box{'es' if len(found) != 1 else ''} violates it"
    return Checked(claim, net.sha256, problem.sha256, *in_words(net, arithmetic), len(found), count)


def _proven(lines: Iterator[str], found: list[Root], network: Network, arithmetic: Arithmetic) -> int:
    """How many lines prove all roots, each by a tree that its own line `r NUMBER` begins."""
    count = len(found)
    for place, root in enumerate(found):
        if (line := next(lines, None)) != f"r {place}":
            raise RefusedError(f"`{str(line)[:40]}` stands where tree {place} of {len(found)} begins: the proof is partial")
        tree = Tree(network, root.of(arithmetic), arithmetic)
        while tree.open and (line := next(lines, None)) is not None:
            tree.read(line)
            count += 1
        tree.finish()
    if next(lines, None) is not None:
        raise RefusedError("more lines than the proof has")
    return count


def _violation(path: Path, problem: Problem, arithmetic: Arithmetic) -> Checked:
    """Whether the input, each number rounded to float32, lies in a box of the property and violates it.

    By fractions, in real numbers; deployed: in every float32 evaluation order.
    """
    if problem.strict:
        raise NotModelledError("a strict comparison, for a counterexample")
    net = problem.network.of(arithmetic)
    x = arithmetic.number(read_point(path, net.nodes[0].size))
    own = [c for c in problem.cases if all(a <= v <= b for a, v, b in zip(c.low, x, c.high, strict=True))]
    if not own:
        raise RefusedError("the input lies in no box of the property")
    semantics, numbers = in_words(net, arithmetic)
    semantics = semantics.removeprefix("real numbers and ")
    bounds = Bounds(net, x[None], x[None], arithmetic)
    if not any(_violated(bounds, case) for case in own):
        raise RefusedError(f"the input does not violate the property in {semantics}")
    return Checked("the input lies in the property's box and violates it", net.sha256, problem.sha256, semantics, numbers, 1, 1)


def _violated(bounds: Bounds, case: Case) -> bool:
    """Whether all rows of the case are at most 0 at the point."""
    rows = np.zeros((1, len(case.rows), bounds.network.output.index.size), object)
    for row, (terms, _) in zip(rows[0], case.rows, strict=True):
        row[list(terms)] = [-value for value in terms.values()]
    ends = np.array([[Fraction(-offset) for _, offset in case.rows]], object)
    return bool((bounds.planes(rows, ends).least >= 0).all())


def in_words(network: Network, arithmetic: Arithmetic) -> tuple[str, str]:
    """Semantics, with what is taken of float32 on trust, and arithmetic."""
    names = ", ".join(network.assumed) if arithmetic.deployed else ""
    near = "within 2^-20 (1 + their size) of the function, and n 2^-24 more for sums of n"
    assumed = f" (assuming that float32 values of {names} are {near})" if names else ""
    curves = sorted({n.kind for n in network.nodes if n.kind in CURVES} | {"roots" for n in network.nodes if n.rooted})
    enclosed = f", {', '.join(curves)} by rational enclosures" if curves else ""
    numbers = f"exact rational arithmetic{enclosed}" if arithmetic.exact else "float64 with all rounding errors taken off"
    return f"real numbers{' and every float32 evaluation order' * arithmetic.deployed}{assumed}", numbers
