"""A VNN-LIB 1 file as cases: a box of inputs, and conjunctions of rows on the outputs that must not hold there.

Every number is read exactly, as a fraction. The violation is an OR of ANDs: the file's assertions are multiplied out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path

from ballproof.certificate.checker.errors import NotModelledError, RefusedError
from ballproof.certificate.checker.network import unpacked

MOST_CASES = 100_000
TOKEN = re.compile(r"[()]|[^\s()]+")
VARIABLE = re.compile(r"[XY]_(0|[1-9][0-9]{0,8})")
NUMBER = re.compile(r"[-+]?([0-9]{1,1200}(\.[0-9]{0,1200})?|\.[0-9]{1,1200})([eE][-+]?[0-9]{1,3})?")
DEEPEST = 100


@dataclass(frozen=True)
class Row:
    """`sum of coefficient * variable + offset <= 0`; variables are `X_i` and `Y_j`."""

    terms: tuple[tuple[str, Fraction], ...]
    offset: Fraction


@dataclass(frozen=True)
class Case:
    """low, high: of every input, as exact fractions. rows: by output, all of which hold at a violation."""

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    rows: tuple[tuple[dict[int, Fraction], Fraction], ...]
    outputs: int


def read_cases(path: Path) -> tuple[list[Case], str]:
    """The cases of a file whose union is the violation, and the file's SHA-256 (of its unpacked content)."""
    content = unpacked(path)
    try:
        return _read(content), hashlib.sha256(content).hexdigest()
    except (ValueError, IndexError, KeyError, TypeError, RecursionError, ArithmeticError, MemoryError) as error:
        raise NotModelledError(f"this property: {type(error).__name__}: {str(error)[:200]}") from error


def _read(content: bytes) -> list[Case]:
    text = re.sub(r";[^\n]*", "", content.decode())
    declared: list[str] = []
    asserted = []
    for item in _expressions(text):
        if item[0] == "declare-const":
            if len(item) != 3 or item[2] != "Real" or not VARIABLE.fullmatch(item[1]):
                raise NotModelledError("a declaration that is not of a real number X_i or Y_j")
            declared.append(item[1])
        elif item[0] == "assert" and len(item) == 2 and isinstance(item[1], list):
            asserted.append(_cases(item[1]))
        else:
            raise NotModelledError(f"`{item[0]}` in a property")
    sizes = _sizes(declared, asserted)
    count = 1
    for each in asserted:
        count *= len(each)
    if count > MOST_CASES:
        raise NotModelledError(f"a property of {count} cases")
    found = []
    for chosen in product(*asserted):
        case = _case([row for rows in chosen for row in rows], *sizes)
        if case is not None:
            found.append(case)
    return found


def _sizes(declared: list[str], asserted: list[list[tuple[Row, ...]]]) -> tuple[int, int]:
    """How many inputs and outputs are declared; every variable that is used has to be."""
    known = set(declared)
    inputs, outputs = (max((int(n[2:]) + 1 for n in known if n[0] == letter), default=0) for letter in "XY")
    if inputs + outputs != len(declared) or len(known) != len(declared):
        raise NotModelledError("inputs or outputs that are not declared once each, from 0 on without a gap")
    if not all(name in known for each in asserted for rows in each for row in rows for name, _ in row.terms):
        raise NotModelledError("a variable that is not declared")
    return inputs, outputs


def _expressions(text: str) -> Iterator[list]:  # type: ignore[type-arg]
    """The parenthesised expressions of the file, as nested lists."""
    stack: list[list] = [[]]  # type: ignore[type-arg]
    for word in (found[0] for found in TOKEN.finditer(text)):
        if word == "(":
            stack.append([])
            if len(stack) > DEEPEST:
                raise NotModelledError(f"parentheses deeper than {DEEPEST}")
        elif word == ")":
            if len(stack) < 2:
                raise RefusedError("the property has a parenthesis too many")
            done = stack.pop()
            stack[-1].append(done)
            if len(stack) == 1:
                yield stack[0].pop()
        elif len(stack) == 1:
            raise RefusedError(f"the property has `{word}` outside of parentheses")
        else:
            stack[-1].append(word)
    if len(stack) > 1:
        raise RefusedError("the property has a parenthesis too few")


def _cases(term: list) -> list[tuple[Row, ...]]:  # type: ignore[type-arg]
    """A term as an OR (list) of ANDs (tuples) of rows."""
    if not isinstance(term, list) or not term:
        raise NotModelledError("a term that is no list in a property")
    head, *rest = term
    if head == "and":
        parts = [_cases(t) for t in rest]
        count = 1
        for p in parts:
            count *= len(p)
        if count > MOST_CASES:
            raise NotModelledError(f"a property of {count} cases")
        return [tuple(row for rows in chosen for row in rows) for chosen in product(*parts)]
    if head == "or":
        return [case for t in rest for case in _cases(t)]
    if head in ("<=", ">=", "<", ">", "="):
        left, right = (_linear(t) for t in rest)
        below = _difference(left, right), _difference(right, left)
        if head == "=":
            return [below]
        return [(below[0] if head in ("<=", "<") else below[1],)]
    raise NotModelledError(f"`{head}` in a property")


def _linear(term: str | list) -> tuple[dict[str, Fraction], Fraction]:  # type: ignore[type-arg]
    """A sum of multiples of variables."""
    if isinstance(term, str):
        if VARIABLE.fullmatch(term):
            return {term: Fraction(1)}, Fraction(0)
        if not NUMBER.fullmatch(term):
            raise NotModelledError(f"`{term[:40]}` in a property")
        return {}, Fraction(term)
    head, *rest = term
    parts = [_linear(t) for t in rest]
    if head == "+" or (head == "-" and len(parts) > 1):
        found, offset = dict(parts[0][0]), parts[0][1]
        sign = 1 if head == "+" else -1
        for own, constant in parts[1:]:
            for name, value in own.items():
                found[name] = found.get(name, Fraction(0)) + sign * value
            offset += sign * constant
        return found, offset
    if head == "-":
        return {n: -v for n, v in parts[0][0].items()}, -parts[0][1]
    if head == "*" and len(parts) == 2 and not (parts[0][0] and parts[1][0]):
        (own, constant), factor = (parts[1], parts[0][1]) if parts[1][0] else (parts[0], parts[1][1])
        return {n: factor * v for n, v in own.items()}, factor * constant
    raise NotModelledError(f"`{head}` of this form in a property")


def _difference(left: tuple[dict[str, Fraction], Fraction], right: tuple[dict[str, Fraction], Fraction]) -> Row:
    names = dict.fromkeys([*left[0], *right[0]])
    terms = tuple((n, left[0].get(n, Fraction(0)) - right[0].get(n, Fraction(0))) for n in names)
    return Row(terms, left[1] - right[1])


def _case(rows: list[Row], inputs: int, outputs: int) -> Case | None:
    """Box and rows of one conjunction; None where its box is empty."""
    low: list[Fraction | None] = [None] * inputs
    high: list[Fraction | None] = [None] * inputs
    kept = []
    for row in rows:
        names = [n for n, v in row.terms if v]
        if all(n.startswith("Y_") for n in names):
            kept.append(({int(n[2:]): v for n, v in row.terms if v}, row.offset))
            continue
        if len(names) != 1:
            raise NotModelledError("a relation between inputs, or between inputs and outputs")
        (name,), place = names, int(names[0][2:])
        value = dict(row.terms)[name]
        end = -row.offset / value
        known = high[place] if value > 0 else low[place]
        if value > 0:
            high[place] = end if known is None else min(known, end)
        else:
            low[place] = end if known is None else max(known, end)
    lows, highs = [v for v in low if v is not None], [v for v in high if v is not None]
    if len(lows) < inputs or len(highs) < inputs:
        raise NotModelledError("an input without a lower or an upper bound")
    if any(a > b for a, b in zip(lows, highs, strict=True)):
        return None
    return Case(tuple(lows), tuple(highs), tuple(kept), outputs)
