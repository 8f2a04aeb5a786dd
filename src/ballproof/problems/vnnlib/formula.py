"""Formulas over X and Y as an OR of ANDs of atoms, each a polynomial compared with zero."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import pairwise
from itertools import product as combinations
from math import isfinite
from sys import float_info
from typing import NamedTuple

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems.vnnlib.forms import Form

MOST_CASES = 2 * 10**5
"""An OR of more ANDs than this is refused; the largest files of the field have some ten thousands."""

MOST_ATOMS = 10**7

MOST_TERMS, MOST_FACTORS = 10**4, 8
"""Of a polynomial that is not linear, and of one of its products."""

VARIABLE = re.compile(r"([XY])_([0-9]{1,9})")

Factors = tuple[str, ...]
"""The variables of a product, sorted; none of a constant."""

Polynomial = dict[Factors, float]
"""A sum of products, each with its coefficient, the float that is nearest to what the file says."""

Exact = dict[Factors, Fraction]
"""The same before anything is rounded: floats of decimals that cancel leave a rest."""

CONSTANT: Factors = ()


class Atom(NamedTuple):
    """`form <= 0`, or `form < 0` where strict. exact: it is strict, and floats hold its numbers as the file says them."""

    form: Polynomial
    strict: bool = False
    exact: bool = False


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
            return _all([_compared(str(sign), a, b) for a, b in pairwise(parts)])
        case ["distinct", a, b]:
            return _compared("!=", a, b)
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


def _compared(sign: str, a: Form, b: Form) -> list[Conjunction]:
    difference = _sum(polynomial(a), polynomial(b), -1)
    below = _rounded(difference)
    above = {k: -v for k, v in below.items()}
    match sign:
        case "<=":
            return [(Atom(below),)]
        case ">=":
            return [(Atom(above),)]
        case "=" | "==":
            return [(Atom(below), Atom(above))]
    exact = all(v == below[k] for k, v in difference.items())
    each = {"<": [below], ">": [above]}.get(sign, [below, above])
    return [(Atom(form, True, exact),) for form in each]


def _rounded(exact: Exact) -> Polynomial:
    try:
        return {k: float(v) for k, v in exact.items()}
    except OverflowError as error:
        raise InputError("a relation multiplies numbers to one that no float holds") from error


def polynomial(form: Form) -> Exact:
    """A term as a sum of products of variables."""
    if isinstance(form, str):
        return {(form,): Fraction(1)} if VARIABLE.fullmatch(form) else {CONSTANT: number(form)}
    match form:
        case ["+", *parts]:
            return _total(parts)
        case ["-", only]:
            return {k: -v for k, v in polynomial(only).items()}
        case ["-", first, *parts]:
            return _sum(polynomial(first), _total(parts), -1)
        case ["*", *parts]:
            return reduce(_product, (polynomial(p) for p in parts), {CONSTANT: Fraction(1)})
        case ["/", a, b]:
            divisor = polynomial(b)
            if set(divisor) == {CONSTANT} and divisor[CONSTANT]:
                return {k: v / divisor[CONSTANT] for k, v in polynomial(a).items()}
    raise UnsupportedError(f"the term `{_told(form)}`; supported: numbers, X_i, Y_i, +, -, *, and / by a number")


@lru_cache(maxsize=2**16)
def number(word: str) -> Fraction:
    """A decimal, with an exponent or without, exactly."""
    try:
        value = float(word) if word[-1:].isdigit() or word[-1:] == "." else float("nan")
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise InputError(f"`{word}` is neither a number nor a variable X_i or Y_i")
    try:
        exact = Decimal(word)
        lost = abs(value) < float_info.min and exact != Decimal(value)
    except InvalidOperation:  # an exponent that no decimal has either
        lost = True
    if lost:
        raise UnsupportedError(f"the number `{word[:40]}`; supported: those as far from 0 as floats reach")
    return Fraction(exact) if value else Fraction(0)


def _total(parts: list[Form]) -> Exact:
    total: Exact = {}
    for p in parts:
        total = _sum(total, polynomial(p), 1)
    return total


def _sum(a: Exact, b: Exact, factor: int) -> Exact:
    found = dict(a)
    for k, v in b.items():
        found[k] = found.get(k, 0) + factor * v
    return found


def _product(a: Exact, b: Exact) -> Exact:
    if len(a) * len(b) > MOST_TERMS and min(len(a), len(b)) > 1:
        raise UnsupportedError(f"a product with {len(a) * len(b)} terms; supported: {MOST_TERMS}")
    found: Exact = {}
    for (j, v), (k, w) in combinations(a.items(), b.items()):
        factors = tuple(sorted(j + k)) if j and k else j or k
        if len(factors) > MOST_FACTORS:
            raise UnsupportedError(f"a product of more than {MOST_FACTORS} variables")
        found[factors] = found.get(factors, 0) + v * w
    return found


def products(form: Polynomial) -> Iterator[tuple[tuple[tuple[str, int], ...], float]]:
    """The products of a polynomial that are no constants, each factor as (X or Y, its number), and their coefficients."""
    for names, value in form.items():
        if names and value:
            yield tuple(_variable(n) for n in names), value


def _variable(name: str) -> tuple[str, int]:
    found = VARIABLE.fullmatch(name)
    assert found is not None
    return found[1], int(found[2])


def _told(form: Form) -> str:
    text = form if isinstance(form, str) else "(" + " ".join(_told(f) for f in form[:6]) + ")"
    return text[:80]
