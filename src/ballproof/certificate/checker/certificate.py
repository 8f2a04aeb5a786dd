"""The file of a certificate, and what it has to be checked against: the hashes, the roots, a tree for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.curves import CURVES
from ballproof.certificate.checker.lines import lines_of
from ballproof.certificate.checker.network import Network, Root
from ballproof.certificate.checker.reading.problems import read_problem
from ballproof.certificate.checker.tree import Tree

FORMAT, VERSION = "ballproof certificate", 2

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

    deployed: for every float32 evaluation order of the network, not only in real numbers. A certificate that was made for that
    is checked for that, which includes the real numbers. exact: in fractions.
    """
    problem = read_problem(network, property_)
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
    trees: list[Tree] = []
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007
        if line == f"r {len(trees)}" and len(trees) < len(found):
            if trees:
                trees[-1].finish()
            trees.append(Tree(network, found[len(trees)].of(arithmetic), arithmetic))
        elif trees:
            trees[-1].read(line)
        else:
            raise RefusedError(f"`{line[:40]}` stands where the first tree should begin")
    if trees:
        trees[-1].finish()
    if len(trees) < len(found):
        raise RefusedError(f"{len(found) - len(trees)} of {len(found)} trees are missing: the proof is partial")
    return count


def in_words(network: Network, arithmetic: Arithmetic) -> tuple[str, str]:
    """Semantics and arithmetic in words."""
    curves = sorted({n.kind for n in network.nodes if n.kind in CURVES} | {"roots" for n in network.nodes if n.rooted})
    enclosed = f", {', '.join(curves)} by rational enclosures" if arithmetic.exact and curves else ""
    semantics = "real numbers" + " and every float32 evaluation order" * arithmetic.deployed
    return f"{semantics}{assumption(network, arithmetic)}", f"{arithmetic}{enclosed}"


def assumption(network: Network, arithmetic: Arithmetic) -> str:
    """What is taken of float32 on trust, in words; empty where nothing is."""
    names = ", ".join(network.assumed) if arithmetic.deployed else ""
    near = "within 2^-20 (1 + their size) of the function, and n 2^-24 more for sums of n"
    return f" (assuming that float32 values of {names} are {near})" if names else ""
