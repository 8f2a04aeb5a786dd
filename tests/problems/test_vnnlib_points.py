"""VNN-LIB files against an evaluator of their text: a point violates the specification where every assertion holds there."""

from __future__ import annotations

import gzip
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballproof.errors import InputError
from ballproof.problems.vnnlib import Specification, read_vnnlib

INPUTS, OUTPUTS = 3, 2
Point = dict[str, Fraction]


class Writer:
    """Random formulas over quarters, so that ties happen; every number is exact in binary."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def number(self) -> str:
        value = self.chance.randint(-8, 8) / 4
        return self.chance.choice([f"{value}", f"{value:.6f}", f"{value:e}", f"{value:+}"])

    def name(self, kinds: str = "XY") -> str:
        kind = self.chance.choice(kinds)
        return f"{kind}_{self.chance.randrange(INPUTS if kind == 'X' else OUTPUTS)}"

    def term(self) -> str:
        match self.chance.randrange(5):
            case 0:
                return self.name()
            case 1:
                return self.number()
            case 2:
                return f"(+ {self.name()} {self.name()})"
            case 3:
                return f"(* {self.number()} {self.name()})"
        return f"(- {self.name()} {self.number()})"

    def formula(self, depth: int) -> str:
        if depth == 0 or self.chance.random() < 0.3:
            sign = self.chance.choice(["<=", ">=", "<", ">", "="] if self.chance.random() < 0.3 else ["<=", ">="])
            return f"({sign} {self.term()} {self.term()})"
        parts = " ".join(self.formula(depth - 1) for _ in range(self.chance.randint(1, 3)))
        return f"({self.chance.choice(['and', 'or'])} {parts})"

    def file(self) -> tuple[str, list[str]]:
        ends = [f"({sign} X_{i} {value})" for i in range(INPUTS) for sign, value in ((">=", "-2.0"), ("<=", "2e0"))]
        asserted = [*ends, *(self.formula(2) for _ in range(self.chance.randint(1, 3)))]
        self.chance.shuffle(asserted)
        declared = [f"(declare-const X_{i} Real)" for i in range(INPUTS)] + [
            f"(declare-fun Y_{i} () Real)" for i in range(OUTPUTS)
        ]
        lines = [*declared, *(f"(assert {a}) ; a remark (with ( in it" for a in asserted)]
        return "\n".join(lines) + "\n", asserted

    def point(self) -> Point:
        quarters = [Fraction(self.chance.randint(-9, 9), 4) for _ in range(INPUTS + OUTPUTS)]
        names = [f"X_{i}" for i in range(INPUTS)] + [f"Y_{i}" for i in range(OUTPUTS)]
        return dict(zip(names, quarters, strict=True))


def parsed(text: str) -> list[object] | str:
    """The oracle's own reading: brackets become those of Python."""
    words = text.replace("(", " ( ").replace(")", " ) ").split()
    return eval("".join({"(": "[", ")": "],"}.get(w, f"{w!r},") for w in words).rstrip(","))


def value(term: object, at: Point) -> Fraction:
    if isinstance(term, str):
        return at[term] if term in at else Fraction(float(term))
    head, *rest = term  # type: ignore[misc]
    parts = [value(r, at) for r in rest]
    return {"+": lambda: sum(parts, Fraction(0)), "*": lambda: parts[0] * parts[1], "-": lambda: parts[0] - parts[1]}[head]()


def holds(formula: object, at: Point) -> bool:
    head, *rest = formula  # type: ignore[misc]
    if head in ("and", "or"):
        return (all if head == "and" else any)(holds(r, at) for r in rest)
    a, b = (value(r, at) for r in rest)
    return {"<=": a <= b, ">=": a >= b, "<": a < b, ">": a > b, "=": a == b}[head]


def violated(found: Specification, at: Point) -> bool:
    x, y = [at[f"X_{i}"] for i in range(INPUTS)], [at[f"Y_{i}"] for i in range(OUTPUTS)]
    for case in found.cases:
        low, high = case.lower.tolist(), case.upper.tolist()
        inside = all(
            (a < v if i in case.strict_lower else a <= v) and (v < b if i in case.strict_upper else v <= b)
            for i, (a, v, b) in enumerate(zip(low, x, high, strict=True))
        )
        for group in case.groups if inside else ():
            sums = [
                sum((Fraction(f) * y[j] for j, f in r.on_y), Fraction(0))
                + sum((Fraction(f) * x[i] for i, f in r.on_x), Fraction(0))
                - Fraction(r.bound)
                for r in group
            ]
            if all(s < 0 if r.strict else s <= 0 for s, r in zip(sums, group, strict=True)):
                return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_a_specification_holds_the_points_that_its_text_holds(seed: int, tmp_path: Path) -> None:
    writer = Writer(seed)
    text, asserted = writer.file()
    path = tmp_path / ("s.vnnlib.gz" if seed % 2 else "s.vnnlib")
    path.write_bytes(gzip.compress(text.encode()) if seed % 2 else text.encode())
    found, formulas = read_vnnlib(path), [parsed(a) for a in asserted]
    assert (found.inputs, found.outputs) == (INPUTS, OUTPUTS)
    for _ in range(300):
        at = writer.point()
        assert violated(found, at) == all(holds(f, at) for f in formulas), at


HEADER = "(vnnlib-version <2.0>)\n(declare-network f (declare-input X Real [1, 3]) (declare-output Y Real [2]))\n"


@pytest.mark.parametrize("seed", range(30))
def test_version_2_says_the_same_of_tensors(seed: int, tmp_path: Path) -> None:
    """The same formulas with X[0,i] and Y[j] in place of X_i and Y_j, and a header, are the same specification."""
    _, asserted = Writer(seed).file()
    text = "".join(f"(assert {a})\n" for a in asserted)
    for i in range(INPUTS):
        text = text.replace(f"X_{i}", f"X[0, {i}]")
    for j in range(OUTPUTS):
        text = text.replace(f"Y_{j}", f"Y[{j}]")
    path = tmp_path / "s.vnnlib"
    path.write_text(HEADER + text)
    found, formulas, writer = read_vnnlib(path), [parsed(a) for a in asserted], Writer(seed + 1000)
    for _ in range(100):
        at = writer.point()
        assert violated(found, at) == all(holds(f, at) for f in formulas), at


def test_entries_of_several_tensors_stand_behind_each_other(tmp_path: Path) -> None:
    path = tmp_path / "s.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)"
        "(declare-network f (declare-input A Real [2]) (declare-input B Real [1]) (declare-output y Real [1]))"
        "(assert (and (>= A[0] 0) (<= A[0] 1) (>= A[1] 1) (<= A[1] 2) (>= B[0] 2) (<= B[0] 3) (<= y[0] 0)))"
    )
    found = read_vnnlib(path)
    assert found.cases[0].lower.tolist() == [0, 1, 2] and [t.first for t in found.tensors] == [0, 2, 0]


def test_entries_are_counted_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "s.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)(declare-network f (declare-input X Real [2,2]) (declare-output y Real []))"
        "(assert (and (>= X[0,0] 0) (<= X[0,0] 1) (>= X[0,1] 1) (<= X[0,1] 2)))"
        "(assert (and (>= X[1,0] 2) (<= X[1,0] 3) (>= X[1,1] 3) (<= X[1,1] 4)))"
        "(assert (!= y 5))"
    )
    (case,) = read_vnnlib(path).cases
    assert case.lower.tolist() == [0, 1, 2, 3] and len(case.groups) == 2 and all(r.strict for g in case.groups for r in g)


def test_a_long_or_of_boxes_is_read_case_by_case(tmp_path: Path) -> None:
    parts = "\n".join(f"(and (>= X_0 {i}.5) (<= X_0 {i + 1}) (<= Y_0 {i}e-1))" for i in range(2000))
    path = tmp_path / "s.vnnlib"
    path.write_text(f"(declare-const X_0 Real)(declare-const Y_0 Real)(assert (or {parts}))")
    found = read_vnnlib(path)
    assert len(found.cases) == 2000
    assert np.array_equal([float(c.lower[0]) for c in found.cases], np.arange(2000) + 0.5)
    assert [c.groups[0][0].bound for c in found.cases[:4]] == [0.0, 0.1, 0.2, 0.3]


ONE = "(vnnlib-version <2.0>)(declare-network f (declare-input X Real [2])"
BAD = {
    "two networks": (HEADER + HEADER.split("\n")[1], "declared twice"),
    "hidden nodes": (ONE + "(declare-hidden Z Real [1])(declare-output Y Real [1]))", "its quoted name"),
    "a network like none": (ONE + "(equal-to g)(declare-output Y Real [1]))", "equal-to `g`"),
    "no output of the network": (ONE + ")", "no declare-output"),
    "whole numbers": (ONE.replace("Real", "int32") + "(declare-output Y Real [1]))", "int32"),
    "outside the tensor": (ONE + "(declare-output Y Real [1]))(assert (<= X[2] 1))", "its shape is"),
    "a product": (ONE + "(declare-output Y Real [1]))(assert (<= (*" + " X[0]" * 9 + ") 1))", "product of more than 8"),
    "a quotient": (ONE + "(declare-output Y Real [1]))(assert (<= (/ X[0] X[1]) 1))", "by a number"),
    "unbalanced": ("(declare-const X_0 Real))", "never opened"),
    "cut": ("(declare-const X_0 Real", "truncated"),
    "words outside": ("hello (assert true)", "no form"),
    "words at the end": ("(check-sat) hello", "outside"),
    "a gap": ("(declare-const X_0 Real)(declare-const X_2 Real)(declare-const Y_0 Real)", "leaves a number out"),
    "undeclared": ("(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_7 1))", "X_7 is not declared"),
    "no outputs": ("(declare-const X_0 Real)", "0 outputs"),
    "another type": ("(declare-const X_0 Int)(declare-const Y_0 Real)", "Int"),
    "deep": ("(declare-const X_0 Real)(declare-const Y_0 Real)(assert " + "(and " * 200 + "(<= X_0 1)" + ")" * 201, "deep"),
    "infinite": ("(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 1e999))", "1e999"),
    "not a number": ("(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 nan))", "nan"),
    "unknown form": ("(declare-const X_0 Real)(declare-const Y_0 Real)(minimize X_0)", "no form"),
    "version 3": ("(vnnlib-version <3.0>)", "3.0"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_no_specification_is_named(name: str, tmp_path: Path) -> None:
    text, said = BAD[name]
    path = tmp_path / "s.vnnlib"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_vnnlib(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_unpacked_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.vnnlib.gz"
    path.write_bytes(gzip.compress(b"(declare-const X_0 Real)" * 100)[:-20])
    with pytest.raises(InputError, match="truncated or no gzip"):
        read_vnnlib(path)
    (tmp_path / "b.vnnlib").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no ASCII"):
        read_vnnlib(tmp_path / "b.vnnlib")
