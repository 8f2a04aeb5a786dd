"""Formulas over X and Y as an OR of ANDs of linear atoms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from itertools import product as combinations
from math import isfinite

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems.vnnlib.forms import Form

MOST_CASES = 2 * 10**5
"""An OR of more ANDs than this is refused; the largest files of the field have some ten thousands."""

MOST_ATOMS = 10**7

VARIABLE = re.compile(r"([XY])_([0-9]{1,9})")

Linear = dict[str, float]
"""A sum by variable; the constant term stands under the empty name."""


class Atom(tuple[Linear, bool]):
    """`form <= 0`, or `form < 0` where strict."""

    @property
    def form(self) -> Linear:
        return self[0]

    @property
    def strict(self) -> bool:
        return self[1]


Conjunction = tuple[Atom, ...]


def alternatives(form: Form) -> list[Conjunction]:
    """The formula as an OR of ANDs."""
    match form:
        case ["and", *parts]:
            return _all([alternatives(p) for p in parts])
        case ["or", *parts]:
            return _any(parts)
        case ["true"] | "true":
            return [()]
        case ["false"] | "false":
            return []
        case ["<=" | ">=" | "<" | ">" | "=" | "==" | "!=" as sign, *parts] if len(parts) >= 2:
            return _all([_compared(str(sign), linear(a), linear(b)) for a, b in pairwise(parts)])
        case ["distinct", a, b]:
            return _compared("!=", linear(a), linear(b))
    raise UnsupportedError(f"the formula `{_told(form)}`; supported: and, or, <=, <, >=, >, =, !=")


def _any(parts: list[Form]) -> list[Conjunction]:
    found: list[Conjunction] = []
    for part in parts:
        found += alternatives(part)
        if len(found) > MOST_CASES:
            raise UnsupportedError(f"a formula of more than {MOST_CASES} cases")
    return found


def _all(parts: list[list[Conjunction]]) -> list[Conjunction]:
    count = 1
    for p in parts:
        count *= len(p)
        if count > MOST_CASES:
            raise UnsupportedError(f"a formula of more than {MOST_CASES} cases")
    if count == 1:
        return [tuple(atom for p in parts for atom in p[0])]
    if count * sum(max(map(len, p), default=0) for p in parts) > MOST_ATOMS:
        raise UnsupportedError(f"a formula of {count} cases with more than {MOST_ATOMS} relations in all")
    return [tuple(atom for c in chosen for atom in c) for chosen in combinations(*parts)]


def _compared(sign: str, a: Linear, b: Linear) -> list[Conjunction]:
    difference = _sum(a, b, -1.0)
    opposite = {k: -v for k, v in difference.items()}
    match sign:
        case "<=" | "<":
            return [(Atom((difference, sign == "<")),)]
        case ">=" | ">":
            return [(Atom((opposite, sign == ">")),)]
        case "=" | "==":
            return [(Atom((difference, False)), Atom((opposite, False)))]
    return [(Atom((difference, True)),), (Atom((opposite, True)),)]


def linear(form: Form) -> Linear:
    """A term as a linear form; products of two variables are refused."""
    if isinstance(form, str):
        return {form: 1.0} if VARIABLE.fullmatch(form) else {"": number(form)}
    match form:
        case ["+", *parts]:
            return _total(parts, 1.0)
        case ["-", only]:
            return {k: -v for k, v in linear(only).items()}
        case ["-", first, *parts]:
            return _sum(linear(first), _total(parts, 1.0), -1.0)
        case ["*", *parts]:
            return _product([linear(p) for p in parts])
        case ["/", a, b]:
            divisor = linear(b)
            if set(divisor) == {""} and divisor[""]:
                return {k: v / divisor[""] for k, v in linear(a).items()}
    raise UnsupportedError(f"the term `{_told(form)}`; supported: numbers, X_i, Y_i, +, -, * with at most one variable part")


def number(word: str) -> float:
    """A decimal, with an exponent or without."""
    try:
        value = float(word) if word[-1:].isdigit() or word[-1:] == "." else float("nan")
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(f"`{word}` is neither a number nor a variable X_i or Y_i")
    return value


def _total(parts: list[Form], factor: float) -> Linear:
    total: Linear = {}
    for p in parts:
        total = _sum(total, linear(p), factor)
    return total


def _sum(a: Linear, b: Linear, factor: float) -> Linear:
    found = dict(a)
    for k, v in b.items():
        found[k] = found.get(k, 0.0) + factor * v
    return found


def _product(parts: list[Linear]) -> Linear:
    found: Linear = {"": 1.0}
    for p in parts:
        constants = [q for q in (found, p) if not any(k for k in q)]
        if not constants:
            raise UnsupportedError("a product of two variables; supported: linear constraints")
        factor, other = constants[0].get("", 0.0), p if constants[0] is found else found
        found = {k: factor * v for k, v in other.items()}
    return found


def variables(form: Linear) -> Iterator[tuple[str, int, float]]:
    """(X or Y, its number, its coefficient) of a linear form."""
    for name, value in form.items():
        if name and value:
            found = VARIABLE.fullmatch(name)
            assert found is not None
            yield found[1], int(found[2]), value


def _told(form: Form) -> str:
    text = form if isinstance(form, str) else "(" + " ".join(_told(f) for f in form[:6]) + ")"
    return text[:80]
