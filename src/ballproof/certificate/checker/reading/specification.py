"""A VNN-LIB 1 file as cases: a box of inputs, and conjunctions of rows on the outputs that must not hold there.

Every number is read exactly, as a fraction. The violation is an OR of ANDs: the file's assertions are multiplied out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from ballproof.certificate.checker.network import Network, Question, Root
from ballproof.certificate.checker.reading.content import unpacked

MOST_CASES, MOST_ROWS = 100_000, 2**24
MOST_WEIGHT = 2**1000
TOKEN = re.compile(r"[()]|[^\s()]+")
VARIABLE = re.compile(r"[XY]_(0|[1-9][0-9]{0,8})")
NUMBER = re.compile(r"[-+]?([0-9]{1,1200}(\.[0-9]{0,1200})?|\.[0-9]{1,1200})([eE][-+]?[0-9]{1,3})?")
DEEPEST = 100

Row = dict[str, Fraction]
"""Coefficients by variable, and under the empty name the constant; what they add up to is at most 0."""


@dataclass(frozen=True)
class Case:
    """low, high: of every input, as exact fractions. rows: by output, and the constant; all of them hold at a violation."""

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    rows: tuple[tuple[dict[int, Fraction], Fraction], ...]
    outputs: int


def read_cases(path: Path) -> tuple[list[Case], str, bool]:
    """The cases of a file whose union is the violation, the SHA-256 of its unpacked content, whether it holds `<` or `>`."""
    content = unpacked(path)
    try:
        return _read(content), hashlib.sha256(content).hexdigest(), bool(re.search(rb"[<>](?!=)", content))
    except (ValueError, IndexError, KeyError, TypeError, RecursionError, ArithmeticError, MemoryError) as error:
        raise NotModelledError(f"this property: {type(error).__name__}: {str(error)[:200]}") from error


def _read(content: bytes) -> list[Case]:
    declared: list[str] = []
    asserted = []
    for item in expressions(re.sub(r";[^\n]*", "", content.decode())):
        if item[0] == "declare-const":
            if len(item) != 3 or item[2] != "Real" or not VARIABLE.fullmatch(item[1]):
                raise NotModelledError("a declaration that is not of a real number X_i or Y_j")
            declared.append(item[1])
        elif item[0] == "assert" and len(item) == 2 and isinstance(item[1], list):
            asserted.append(cases_of(item[1]))
        else:
            raise NotModelledError(f"`{item[0]}` in a property")
    inputs, outputs = _sizes(declared, {name for each in asserted for rows in each for row in rows for name in row if name})
    cases = (case_of(rows, inputs, outputs) for rows in multiplied(asserted))
    return [case for case in cases if case is not None]


def _sizes(declared: list[str], used: set[str]) -> tuple[int, int]:
    """How many inputs and outputs are declared; every variable that is used has to be."""
    inputs, outputs = (max((int(n[2:]) + 1 for n in declared if n[0] == letter), default=0) for letter in "XY")
    if inputs + outputs != len(declared) or len(set(declared)) != len(declared):
        raise NotModelledError("inputs or outputs that are not declared once each, from 0 on without a gap")
    if used - set(declared):
        raise NotModelledError("a variable that is not declared")
    return inputs, outputs


def expressions(text: str) -> Iterator[list[Any]]:
    """The parenthesised expressions of the file, as nested lists."""
    stack: list[list[Any]] = [[]]
    for word in (found[0] for found in TOKEN.finditer(text)):
        if word == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise NotModelledError(f"parentheses deeper than {DEEPEST}")
        elif len(stack) < 2:
            raise RefusedError(f"the property has `{word}` outside of parentheses")
        elif word == ")":
            stack[-2].append(stack.pop())
            if len(stack) == 1:
                yield stack[0].pop()
        else:
            stack[-1].append(word)
    if len(stack) > 1:
        raise RefusedError("the property has a parenthesis too few")


def multiplied(parts: list[list[tuple[Row, ...]]]) -> list[tuple[Row, ...]]:
    """An AND of ORs of ANDs as an OR of ANDs."""
    if (count := math.prod(map(len, parts))) > MOST_CASES:
        raise NotModelledError(f"a property of {count} cases")
    if count * sum(max(map(len, part), default=0) for part in parts) > MOST_ROWS:
        raise NotModelledError(f"a property whose {count} cases have more than {MOST_ROWS} rows together")
    return [tuple(row for rows in chosen for row in rows) for chosen in product(*parts)]


def cases_of(term: Any) -> list[tuple[Row, ...]]:
    """A term as an OR (list) of ANDs (tuples) of rows."""
    head, *rest = term if isinstance(term, list) and term else [term]
    if head == "and":
        return multiplied([cases_of(t) for t in rest])
    if head == "or":
        return [case for t in rest for case in cases_of(t)]
    if head in ("<=", ">=", "<", ">", "="):
        left, right = (linear(t) for t in rest)
        below, above = added([left, times(right, -1)]), added([right, times(left, -1)])
        return [(below, above) if head == "=" else (below if head in ("<=", "<") else above,)]
    raise NotModelledError(f"`{str(head)[:40]}` in a property")


def linear(term: Any) -> Row:
    """A sum of multiples of variables."""
    if isinstance(term, str):
        if VARIABLE.fullmatch(term):
            return {term: Fraction(1)}
        if not NUMBER.fullmatch(term):
            raise NotModelledError(f"`{term[:40]}` in a property")
        return {"": Fraction(term)}
    head, *rest = term
    parts = [linear(t) for t in rest]
    if head == "+" and parts:
        return added(parts)
    if head == "-" and parts:
        return added([parts[0], *(times(p, -1) for p in parts[1:])] if len(parts) > 1 else [times(parts[0], -1)])
    if head == "*" and len(parts) == 2 and any(set(p) <= {""} for p in parts):
        factor, own = parts if set(parts[0]) <= {""} else parts[::-1]
        return times(own, factor.get("", Fraction(0)))
    raise NotModelledError(f"`{str(head)[:40]}` of this form in a property")


def added(parts: list[Row]) -> Row:
    found: Row = {}
    for part in parts:
        for name, value in part.items():
            found[name] = found.get(name, Fraction(0)) + value
    return found


def times(row: Row, factor: Fraction | int) -> Row:
    return {name: factor * value for name, value in row.items()}


def case_of(rows: tuple[Row, ...], inputs: int, outputs: int) -> Case | None:
    """Box and rows of one conjunction; None where its box is empty."""
    ends: tuple[dict[int, Fraction], dict[int, Fraction]] = {}, {}
    kept = []
    for row in rows:
        terms, offset = {n: v for n, v in row.items() if n and v}, row.get("", Fraction(0))
        if all(n[0] == "Y" for n in terms):
            kept.append(({int(n[2:]): v for n, v in terms.items()}, offset))
            continue
        if len(terms) != 1:
            raise NotModelledError("a relation between inputs, or between inputs and outputs")
        ((name, value),) = terms.items()
        place, end, above = int(name[2:]), -offset / value, value > 0
        ends[above][place] = (min if above else max)(end, ends[above].get(place, end))
    if min(map(len, ends)) < inputs:
        raise NotModelledError("an input without a lower or an upper bound")
    low, high = (tuple(e[i] for i in range(inputs)) for e in ends)
    return None if any(a > b for a, b in zip(low, high, strict=True)) else Case(low, high, tuple(kept), outputs)


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
