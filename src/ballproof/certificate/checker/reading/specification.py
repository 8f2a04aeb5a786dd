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
MOST = 2**1000
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
        return _read(content.decode()), hashlib.sha256(content).hexdigest(), bool(re.search(rb"[<>](?!=)", content))
    except (ValueError, IndexError, KeyError, TypeError, RecursionError, ArithmeticError, MemoryError) as error:
        raise NotModelledError(f"this property: {type(error).__name__}: {str(error)[:200]}") from error


def _read(text: str) -> list[Case]:
    declared: list[str] = []
    asserted = []
    for item in expressions(re.sub(r";[^\n]*", "", text)):
        match item:
            case ["declare-const", str(name), "Real"]:
                declared.append(name)
            case ["assert", term]:
                asserted.append(cases_of(term))
            case _:
                raise NotModelledError(f"`{str(item[0])[:40]}` of this form in a property")
    inputs, outputs = (sum(name[0] == letter for name in declared) for letter in "XY")
    if {*declared} != {*(f"X_{i}" for i in range(inputs)), *(f"Y_{j}" for j in range(outputs))}:
        raise NotModelledError("inputs or outputs that are not declared once each, from 0 on without a gap")
    if {name for each in asserted for rows in each for row in rows for name in row if name} - {*declared}:
        raise NotModelledError("a variable that is not declared")
    cases = (case_of(rows, inputs, outputs) for rows in multiplied(asserted))
    return [case for case in cases if case is not None]


def expressions(text: str) -> Iterator[list[Any]]:
    """The parenthesised expressions of the file, as nested lists."""
    stack: list[list[Any]] = [[]]
    for word in (found[0] for found in TOKEN.finditer(text)):
        if word == "(" and len(stack) <= DEEPEST:
            stack.append([])
        elif word == "(" or len(stack) < 2:
            raise RefusedError(f"the property has `{word[:40]}` outside of parentheses, or they are deeper than {DEEPEST}")
        elif word != ")":
            stack[-1].append(word)
        elif len(stack) > 2:
            stack[-2].append(stack.pop())
        else:
            yield stack.pop()
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
    match term:
        case ["and", *rest]:
            return multiplied([cases_of(t) for t in rest])
        case ["or", *rest]:
            return [case for t in rest for case in cases_of(t)]
        case ["<=" | "<" | ">=" | ">" | "=" as head, left, right]:
            below = added([linear(left), times(linear(right), -1)])
            return [(below,) if head[0] == "<" else (times(below, -1),) if head[0] == ">" else (below, times(below, -1))]
    raise NotModelledError(f"`{str(term)[:40]}` in a property")


def linear(term: Any) -> Row:
    """A sum of multiples of variables."""
    match term:
        case str() if VARIABLE.fullmatch(term):
            return {term: Fraction(1)}
        case str() if NUMBER.fullmatch(term):
            return {"": Fraction(term)}
        case ["-", one]:
            return times(linear(one), -1)
        case ["+" | "-" as head, one, *rest]:
            return added([linear(one), *(times(linear(t), 1 if head == "+" else -1) for t in rest)])
        case ["*", one, two]:
            factor, row = sorted((linear(one), linear(two)), key=lambda row: not {*row} <= {""})
            if {*factor} <= {""}:
                return times(row, factor.get("", 0))
    raise NotModelledError(f"`{str(term)[:40]}` in a property")


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
    low: list[Any] = [-math.inf] * inputs
    high: list[Any] = [math.inf] * inputs
    kept = []
    for row in rows:
        terms, offset = {n: v for n, v in row.items() if n and v}, row.get("", Fraction(0))
        if all(n[0] == "Y" for n in terms):
            kept.append(({int(n[2:]): v for n, v in terms.items()}, offset))
            continue
        if len(terms) != 1:
            raise NotModelledError("a relation between inputs, or between inputs and outputs")
        ((name, value),) = terms.items()
        ends, better = (high, min) if value > 0 else (low, max)
        ends[int(name[2:])] = better(ends[int(name[2:])], -offset / value)
    if -math.inf in low or math.inf in high:
        raise NotModelledError("an input without a lower or an upper bound")
    empty = any(a > b for a, b in zip(low, high, strict=True))
    return None if empty else Case(tuple(low), tuple(high), tuple(kept), outputs)


def roots(cases: list[Case], network: Network) -> list[Root]:
    """The boxes of the property in the order of the file, each with all the cases that have it; ends rounded outward."""
    together: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], list[Case]] = {}
    for case in cases:
        together.setdefault((case.low, case.high), []).append(case)
        sizes = (len(case.low), case.outputs), (network.nodes[0].size, network.output.index.size)
        if sizes[0] != sizes[1]:
            raise NotModelledError(f"a property of {sizes[0]} inputs and outputs for a network of {sizes[1]}")
    ends = [(np.array([_down(v) for v in low]), np.array([-_down(-v) for v in high])) for low, high in together]
    return [Root(*own, _question(cases)) for own, cases in zip(ends, together.values(), strict=True)]


def _question(cases: list[Case]) -> Question:
    """Without rows every point violates a case: `0 <= 0`."""
    rows = [(group, *row) for group, case in enumerate(cases) for row in case.rows or (({}, Fraction(0)),)]
    matrix = np.zeros((len(rows), cases[0].outputs))
    for row, (_, terms, _) in zip(matrix, rows, strict=True):
        for place, value in terms.items():
            row[place] = near = _down(value)
            if near != value:
                raise NotModelledError(f"a weight of {str(value)[:40]}, which float64 does not hold")
    return Question(matrix, np.array([_down(offset) for *_, offset in rows]), np.array([group for group, *_ in rows]))


def _down(value: Fraction) -> float:
    """The largest float that is not above."""
    if abs(value) > MOST:
        raise NotModelledError("a number in a property that is too large")
    near = float(value)
    return near if near <= value else float(np.nextafter(near, -np.inf))
