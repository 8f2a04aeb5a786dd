"""`read_vnnlib`: VNN-LIB files, version 1 as it is in use, and version 2.0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product as combinations
from pathlib import Path

import numpy as np

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems.vnnlib.forms import children, nested, top_level_forms
from ballproof.problems.vnnlib.formula import CONSTANT, MOST_CASES, VARIABLE, Atom, Conjunction, alternatives, products
from ballproof.problems.vnnlib.specification import Array, Case, Row, Specification, Variable
from ballproof.problems.vnnlib.version2 import Declarations, version

MOST_ENDS = 2 * 10**7
"""Boxes times inputs; the largest files of the field have some millions."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
BOUND = re.compile(rf"\(\s*(<=|>=)\s+([XY])_([0-9]{{1,9}})\s+({NUMBER})\s*\)")
"""The atom that files hold by the million: one variable against one number."""

PLAIN = re.compile(rf"\(\s*and\s*(?:\(\s*(?:<=|>=)\s+[XY]_[0-9]{{1,9}}\s+{NUMBER}\s*\)\s*)+\)")
DECLARED = re.compile(r"\(\s*(?:declare-const\s+([XY])_([0-9]{1,9})|declare-fun\s+([XY])_([0-9]{1,9})\s*\(\s*\))\s+(\w+)\s*\)")
IGNORED = re.compile(r"\(\s*(?:set-logic|set-info|set-option|check-sat|get-model|get-value|exit)\b")


def read_vnnlib(path: Path | str) -> Specification:
    """The specification in a file (`.vnnlib` or `.vnnlib.gz`): every assertion together states a violation.

    Version 1, or 2.0 where the header says so. Nested and/or, assertions in any order, =, <, <=, >, >=, relations between
    inputs, products of variables, scientific notation, comments; in 2.0 also several networks and hidden nodes. Types of
    numbers are read as real numbers; `tensors` says what they were. Raises `InputError` for what is no VNN-LIB or leaves an
    input without an end. Price: about a second for 20 MB; holds one assertion of the text at a time.
    """
    reader = Reader(Path(path))
    try:
        return reader.read()
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise type(error)(f"{path}: {error}") from None


class Reader:
    """One reading of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = {"X": 0, "Y": 0}
        self.declared: set[tuple[str, int]] = set()
        self.alone: list[Atom] = []
        self.second: Declarations | None = None
        self.options: list[list[Conjunction]] = []

    def read(self) -> Specification:
        for text in top_level_forms(self.path):
            self._form(text)
        if not self.count["X"] or not self.count["Y"]:
            raise InputError(
                f"{self.path} declares {self.count['X']} inputs and {self.count['Y']} outputs; is it a VNN-LIB file?"
            )
        if len(self.declared) != sum(self.count.values()):
            raise InputError(f"{self.path} leaves a number out between its first and last X or Y")
        second = self.second or Declarations()
        told = tuple(second.tensors.values()), tuple(second.networks.values())
        return Specification(self.count["X"], self.count["Y"], tuple(self._cases()), *told)

    def _form(self, text: str) -> None:
        if found := DECLARED.fullmatch(text):
            kind, number = found[1] or found[3], int(found[2] or found[4])
            if found[5] != "Real":
                raise UnsupportedError(f"the type `{found[5]}` of {kind}_{number}; supported: Real")
            self.count[kind] = max(self.count[kind], number + 1)
            self.declared.add((kind, number))
        elif (stated := version(text)) is not None:
            if stated != (2, 0):
                raise UnsupportedError(f"VNN-LIB {stated[0]}.{stated[1]}; supported: 1 without a header, and 2.0")
            self.second = Declarations()
        elif self.second is not None:
            self._second(text, self.second)
        elif not IGNORED.match(text):
            self._assertion(text)

    def _second(self, text: str, declared: Declarations) -> None:
        """A form of version 2.0."""
        if re.match(r"\(\s*declare-network\b", text):
            for kind, number in declared.network(text):
                self.count[kind] = max(self.count[kind], number + 1)
                self.declared.add((kind, number))
            return
        found = alternatives(declared.assertion(text))
        if len(found) == 1:
            self.alone += found[0]
        else:
            self.options.append(found)

    def _assertion(self, text: str) -> None:
        parts = list(children(text))
        if not re.match(r"\(\s*assert\b", text) or len(parts) != 1:
            raise InputError(f"`{text[:60]}` is no form of VNN-LIB; expected declare-const or assert")
        found = list(self._disjuncts(parts[0]))
        if len(found) == 1:
            self.alone += found[0]
        else:
            self.options.append(found)

    def _disjuncts(self, body: str) -> Iterator[Conjunction]:
        """The OR of ANDs of one assertion, part by part where it is an `or` at the top."""
        parts = children(body) if re.match(r"\(\s*or\s*\(", body) else iter([body])
        count = 0
        for part in parts:
            plain = PLAIN.fullmatch(part)
            found = [tuple(_bound(*a) for a in BOUND.findall(part))] if plain else alternatives(nested(part))
            count += len(found)
            if count > MOST_CASES:
                raise UnsupportedError(f"an assertion of more than {MOST_CASES} cases")
            yield from found

    def _cases(self) -> Iterator[Case]:
        """Conjunctions with the same box are groups of one case."""
        total = int(np.prod([float(len(o)) for o in self.options])) if self.options else 1
        if total > MOST_CASES:
            raise UnsupportedError(f"assertions of {total} cases together, more than {MOST_CASES}")
        ground = _Box(self.count)
        ground.add(self.alone)
        found: dict[bytes, tuple[_Box, list[tuple[Row, ...]]]] = {}
        for chosen in combinations(*self.options):
            box = ground.copy()
            box.add(atom for part in chosen for atom in part)
            box.check()
            if box.empty:
                continue
            found.setdefault(box.key(), (box, []))[1].append(tuple(box.rows))
            if len(found) * self.count["X"] > MOST_ENDS:
                raise UnsupportedError(f"more than {len(found) - 1} boxes of {self.count['X']} inputs")
        for box, groups in found.values():
            yield Case(
                box.lower, box.upper, tuple(dict.fromkeys(groups)), frozenset(box.strict_lower), frozenset(box.strict_upper)
            )


def _bound(sign: str, kind: str, number: str, value: str) -> Atom:
    factor = 1.0 if sign == "<=" else -1.0
    return Atom({(f"{kind}_{number}",): factor, CONSTANT: -factor * float(value)})


class _Box:
    """The ends that atoms on single inputs give, and rows for all other atoms."""

    def __init__(self, count: dict[str, int]) -> None:
        self.count = count
        self.lower: Array = np.full(count["X"], -np.inf)
        self.upper: Array = np.full(count["X"], np.inf)
        self.strict_lower: set[int] = set()
        self.strict_upper: set[int] = set()
        self.rows: list[Row] = []
        self.impossible = False

    def copy(self) -> _Box:
        found = _Box(self.count)
        found.lower, found.upper, found.rows = self.lower.copy(), self.upper.copy(), list(self.rows)
        found.strict_lower, found.strict_upper = set(self.strict_lower), set(self.strict_upper)
        found.impossible = self.impossible
        return found

    def add(self, atoms: Iterable[Atom]) -> None:
        for atom in atoms:
            terms = list(products(atom.form))
            bound = -atom.form.get(CONSTANT, 0.0)
            self._declared(v for factors, _ in terms for v in factors)
            if not terms:
                self.impossible |= bound < 0 or (atom.strict and bound == 0)
            elif len(terms) == 1 and len(terms[0][0]) == 1 and terms[0][0][0][0] == "X":
                self._end(terms[0][0][0][1], terms[0][1], bound, atom.strict)
            else:
                single = [(*f[0], v) for f, v in terms if len(f) == 1]
                on_y, on_x = (tuple((n, v) for kind, n, v in single if kind == wanted) for wanted in "YX")
                self.rows.append(Row(on_y, on_x, bound, atom.strict, tuple(t for t in terms if len(t[0]) > 1), atom.exact))

    def _declared(self, used: Iterable[Variable]) -> None:
        for kind, number in used:
            if number >= self.count[kind]:
                raise InputError(f"{kind}_{number} is not declared; declared are {self.count[kind]} of {kind}")

    def _end(self, at: int, factor: float, bound: float, strict: bool) -> None:
        """factor * x <= bound."""
        ends, out, sign = (self.upper, self.strict_upper, 1.0) if factor > 0 else (self.lower, self.strict_lower, -1.0)
        value = bound / factor
        if sign * value < sign * ends[at]:
            ends[at] = value
            out.discard(at)
        if strict and value == ends[at]:
            out.add(at)

    def check(self) -> None:
        free = np.flatnonzero(~(np.isfinite(self.lower) & np.isfinite(self.upper)))
        if len(free) and not self.empty:
            raise InputError(f"X_{free[0]} has no lower or no upper end: an unbounded input; {len(free)} inputs in all")

    @property
    def empty(self) -> bool:
        strict = list(self.strict_lower | self.strict_upper)
        closed = bool((self.lower[strict] == self.upper[strict]).any()) if strict else False
        return self.impossible or closed or bool((self.lower > self.upper).any())

    def key(self) -> bytes:
        ends = self.lower.tobytes() + self.upper.tobytes()
        return ends + repr((sorted(self.strict_lower), sorted(self.strict_upper))).encode()


__all__ = ["VARIABLE", "Reader", "read_vnnlib"]
