"""What a VNN-LIB file (1 or 2) asserts, as terms that can be printed again, beside the cases that the checker reads in it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import NotModelledError
from ballproof.certificate.checker.reading.content import unpacked
from ballproof.certificate.checker.reading.specification import (
    Case,
    Row,
    added,
    case_of,
    cases_of,
    expressions,
    linear,
    multiplied,
    times,
)

SHAPE = re.compile(r"\[[0-9]+(,[0-9]+)*\]")


@dataclass(frozen=True)
class Query:
    """inputs, outputs: names of the numbers, as the file writes them. asserted: its terms. cases: what must not hold."""

    inputs: list[str]
    outputs: list[str]
    asserted: list[Any]
    cases: list[Case]

    def row(self, term: Any) -> tuple[Row, str]:
        """An atom as `row >= 0` or `> 0`, by the names of the file."""
        head, left, right = term
        if head not in ("<=", ">=", "<", ">"):
            raise NotModelledError(f"`{head}` where an inequality is expected")
        names = self.names
        sides = [linear(_renamed(t, names)) for t in (left, right)]
        small, large = sides if head in ("<=", "<") else sides[::-1]
        back = {v: k for k, v in names.items()}
        found = added([large, times(small, -1)])
        return {back.get(n, n): v for n, v in found.items() if v}, ">=" if "=" in head else ">"

    @property
    def names(self) -> dict[str, str]:
        return _names(self.inputs, self.outputs)


def read_query(path: Path) -> Query:
    """The query of a file with one network. Raises `NotModelledError` for other theories."""
    inputs: list[str] = []
    outputs: list[str] = []
    asserted = []
    for item in expressions(re.sub(r";[^\n]*", "", unpacked(path).decode())):
        match item:
            case ["declare-const", str(name), "Real"]:
                (inputs if name.startswith("X_") else outputs).append(name)
            case ["declare-network", str(_), ["declare-input", str(x), str(_), *one], ["declare-output", str(y), str(_), *two]]:
                inputs, outputs = _elements(x, "".join(one)), _elements(y, "".join(two))
            case ["vnnlib-version", str(_)]:
                continue
            case ["assert", list(term)]:
                asserted.append(term)
            case _:
                raise NotModelledError(f"`{str(item[0])[:40]}` in a query that is to be proven")
    names = _names(inputs, outputs)
    found = [case_of(rows, len(inputs), len(outputs)) for rows in multiplied([cases_of(_renamed(t, names)) for t in asserted])]
    return Query(inputs, outputs, asserted, [c for c in found if c is not None])


def _names(inputs: list[str], outputs: list[str]) -> dict[str, str]:
    return {n: f"X_{i}" for i, n in enumerate(inputs)} | {n: f"Y_{i}" for i, n in enumerate(outputs)}


def _elements(name: str, shape: str) -> list[str]:
    if not SHAPE.fullmatch(shape):
        raise NotModelledError(f"a tensor of shape {shape[:40]}")
    sizes = [int(n) for n in shape[1:-1].split(",")]
    if math.prod(sizes) > 10**5:
        raise NotModelledError("a tensor that is too large to be proven about number by number")
    return [f"{name}[{','.join(map(str, np.unravel_index(i, sizes)))}]" for i in range(math.prod(sizes))]


def _renamed(term: Any, names: dict[str, str]) -> Any:
    return names.get(term, term) if isinstance(term, str) else [_renamed(t, names) for t in term]


def said(term: Any) -> str:
    """The term as it stands in the file, with one blank between words."""
    return term if isinstance(term, str) else f"({' '.join(map(said, term))})"


def number(value: Fraction) -> str:
    """A finite decimal; the denominator is a power of two."""
    power = value.denominator.bit_length() - 1
    if value.denominator != 2**power:
        raise NotModelledError(f"the number {value}, which has no finite decimal form")
    digits = f"{abs(value.numerator) * 5**power:0{power + 1}}"
    whole, part = (digits[:-power], digits[-power:]) if power else (digits, "0")
    return f"{'-' if value < 0 else ''}{whole}.{part}"


def printed(row: Row) -> str:
    """A sum of products, without its constant."""
    terms = [n if v == 1 else f"(* {number(v)} {n})" for n, v in row.items() if n and v]
    return f"(+ {' '.join(terms)})" if len(terms) > 1 else terms[0] if terms else "0.0"
