"""The file of a certificate, and what it has to be checked against: the hashes, the roots, a tree for each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.curves import CURVES
from ballproof.certificate.checker.network import Array, Network
from ballproof.certificate.checker.neurons import Question
from ballproof.certificate.checker.operators import read_network
from ballproof.certificate.checker.specification import Case, read_cases
from ballproof.certificate.checker.tree import Tree

FORMAT, VERSION = "ballproof certificate", 2

MOST_WEIGHT = 2**1000
MOST_LINES, MOST_EACH, LONGEST_LINE = 20_000_000, 16, 2**20
"""Lines of a file, how many characters they have on the average, and the most of one."""

CHUNK = 2**16


@dataclass(frozen=True)
class Root:
    """A box of the property, and what must not hold on it."""

    low: Array
    high: Array
    question: Question


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


def check(certificate: Path, network: Path, property_: Path, deployed: bool = False, exact: bool = False) -> Checked:
    """Raises `RefusedError` unless the certificate proves that no input of the property's boxes violates the property.

    deployed: for every float32 evaluation order of the network, not only in real numbers. A certificate that was made for that
    is checked for that, which includes the real numbers. exact: in fractions.
    """
    net = read_network(network)
    cases, digest = read_cases(property_)
    cut: list[str] = []
    lines = _lines(certificate, cut)
    header = _header(lines)
    deployed = deployed or header["semantics"] == "deployed"
    for name, wanted in (("network", net.sha256), ("property", digest)):
        if header.get(name) != wanted:
            raise RefusedError(f"the certificate is of another {name}: {str(header.get(name))[:16]}..., not {wanted[:16]}...")
    arithmetic = Arithmetic(deployed, exact)
    found, net = roots(cases, net), net.of(arithmetic)
    if type(header.get("roots")) is not int or header["roots"] != len(found):
        raise RefusedError(f"the certificate has {str(header.get('roots'))[:16]} trees, the property {len(found)} boxes")
    try:
        count = _proven(lines, found, net, arithmetic)
    except (OverflowError, MemoryError) as error:
        raise RefusedError(f"numbers or a box too large to check: {error}") from error
    if cut:
        raise RefusedError(cut[0])
    claim = f"no input of the property's {len(found)} box{'es' if len(found) != 1 else ''} violates it"
    return Checked(claim, net.sha256, digest, *told(net, arithmetic), len(found), count)


def _proven(lines: Iterator[str], found: list[Root], network: Network, arithmetic: Arithmetic) -> int:
    """How many lines prove all roots, each by a tree that its own line `r NUMBER` begins."""
    tree, begun, count = None, 0, 0
    for line in lines:
        count += 1
        if line == f"r {begun}" and begun < len(found):
            if tree is not None:
                tree.finish()
            root = found[begun]
            low, high, rows, ends = map(arithmetic.number, (root.low, root.high, root.question.rows, root.question.offsets))
            tree, begun = Tree(network, low, high, Question(rows, ends, root.question.groups), arithmetic), begun + 1
        elif tree is not None:
            tree.read(line)
        else:
            raise RefusedError(f"`{line[:40]}` stands where the first tree should begin")
    if tree is not None:
        tree.finish()
    if begun < len(found):
        raise RefusedError(f"{len(found) - begun} of {len(found)} trees are missing: the proof is partial")
    return count


def told(network: Network, arithmetic: Arithmetic) -> tuple[str, str]:
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


def roots(cases: list[Case], network: Network) -> list[Root]:
    """The boxes of the property in the order of the file, each with all the cases that have it; ends rounded outward."""
    together: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], list[Case]] = {}
    for case in cases:
        together.setdefault((case.low, case.high), []).append(case)
    found = []
    for (low, high), own in together.items():
        sizes = (len(low), own[0].outputs), (network.nodes[0].size, network.output.index.size)
        if sizes[0] != sizes[1]:
            raise NotModelledError(f"a property of {sizes[0]} inputs and outputs for a network of {sizes[1]}")
        ends = np.array([_down(v) for v in low]), np.array([-_down(-v) for v in high])
        found.append(Root(*ends, _question(own, network.output.index.size)))
    return found


def _question(cases: list[Case], outputs: int) -> Question:
    rows, offsets, groups = [], [], []
    for group, case in enumerate(cases):
        for terms, offset in case.rows or (({}, Fraction(0)),):  # without rows every point violates: 0 <= 0
            row = np.zeros(outputs)
            for place, value in terms.items():
                if abs(value) > MOST_WEIGHT or Fraction(float(value)) != value:
                    raise NotModelledError(f"a weight of {str(value)[:40]}, which float64 does not hold")
                row[place] = float(value)
            rows.append(row)
            offsets.append(_down(offset))
            groups.append(group)
    return Question(np.array(rows), np.array(offsets), np.array(groups))


def _down(value: Fraction) -> float:
    """The largest float that is not above."""
    try:
        near = float(value)
    except OverflowError:
        raise NotModelledError("a number in a property that is too large") from None
    return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))


def _lines(path: Path, cut: list[str]) -> Iterator[str]:
    """The lines of the file, unpacked; refuses what is longer than a certificate can be.

    Of a file that has no end, as one that was being written, the whole lines are read, and `cut` is told.
    """
    unpack, count, size, rest = zlib.decompressobj(wbits=31), 0, 0, b""
    try:
        with path.open("rb") as file:
            while not unpack.eof:
                packed = unpack.unconsumed_tail or file.read(CHUNK)
                text = unpack.decompress(packed, CHUNK)
                if not packed and not text:
                    cut.append(f"the file ends early, behind line {count}: the proof is partial")
                    return
                *whole, rest = (rest + text).split(b"\n")
                count, size = count + len(whole), size + sum(map(len, whole))
                if max(count, size / MOST_EACH) > MOST_LINES or len(rest) > LONGEST_LINE:
                    raise RefusedError(f"line {count + 1} is too long, or there are more than {MOST_LINES} short ones")
                yield from (line.decode("ascii") for line in whole)
            if rest or unpack.unused_data or file.read(1):
                raise RefusedError(f"line {count + 1} is cut short, or more follows behind the end")
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise RefusedError(f"{path.name} is damaged: {error}") from error


def _header(lines: Iterator[str]) -> dict[str, Any]:
    try:
        found = json.loads(next(lines, ""))
    except (ValueError, RecursionError) as error:
        raise RefusedError("the first line is no header") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RefusedError("this is no certificate of ballproof")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise RefusedError(f"version {str(found.get('version'))[:16]}; this checker reads version {VERSION}")
    if found.get("semantics") not in ("real", "deployed"):
        raise RefusedError("the semantics are neither `real` nor `deployed`")
    return found
