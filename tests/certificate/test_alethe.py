"""Proofs in the format of the standard, checked by a small checker of their rules that shares no code with their writer."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ballproof.certificate.alethe import write_alethe
from ballproof.certificate.checker.arithmetic import NotModelledError, RefusedError
from oracles.onnx_nets import Layers, dense, exact, write_dense, write_property

Linear = dict[str, Fraction]


def parsed(text: str) -> list[Any]:
    stack: list[list[Any]] = [[]]
    for word in re.findall(r"[()]|[^\s()]+", re.sub(r";[^\n]*", "", text)):
        if word == "(":
            stack.append([])
        elif word == ")":
            done = tuple(stack.pop())
            stack[-1].append(done)
        else:
            stack[-1].append(word)
    assert len(stack) == 1
    return stack[0]


def linear(term: Any) -> Linear:
    if isinstance(term, str):
        return {"": Fraction(term)} if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[-0-9]+)?", term) else {term: Fraction(1)}
    head, *rest = term
    parts = [linear(t) for t in rest]
    if head == "*":
        (factor,) = parts[0].values()
        assert set(parts[0]) == {""}
        return {n: factor * v for n, v in parts[1].items()}
    found: Linear = {}
    for k, part in enumerate(parts):
        sign = -1 if head == "-" and (k or len(parts) == 1) else 1
        for n, v in part.items():
            found[n] = found.get(n, Fraction(0)) + sign * v
    assert head in "+-"
    return found


def arithmetic(atom: Any) -> tuple[str, Linear]:
    """An atom as `>=`, `>` or `=` of a linear form and zero."""
    negated = atom[0] == "not"
    head, left, right = atom[1] if negated else atom
    if negated:
        head = {"<=": ">", ">=": "<", "<": ">=", ">": "<="}[head]
    one, two = linear(left), linear(right)
    small, large = (one, two) if head[0] == "<" else (two, one)
    form = {n: large.get(n, Fraction(0)) - small.get(n, Fraction(0)) for n in {*one, *two}}
    return {"<": ">", "<=": ">="}.get(head, head), form


def negation(literal: Any) -> Any:
    return literal[1] if literal[0] == "not" else ("not", literal)


def checked(text: str, problem: Callable[[Any], bool]) -> int:
    """The number of steps of a proof that is right: every step follows by its rule, the last is the empty clause."""
    known: dict[str, frozenset[Any]] = {}
    last: frozenset[Any] | None = None
    count = 0
    for command in parsed(text):
        if command[0] == "assume":
            assert count == 0 or command[1].startswith("p")
            assert problem(command[2]), command
            last = frozenset([command[2]])
        else:
            _, _, (cl, *clause), *more = command
            given = dict(zip(more[::2], more[1::2], strict=True))
            premises = [known[p] for p in given.get(":premises", ())]
            assert command[0] == "step" and cl == "cl"
            follows(given[":rule"], clause, premises, [Fraction(a) for a in given.get(":args", ())])
            last, count = frozenset(clause), count + 1
        assert command[1] not in known
        known[command[1]] = last
    assert last == frozenset(), "the proof does not end with the empty clause"
    return count


def follows(rule: str, clause: list[Any], premises: list[frozenset[Any]], args: list[Fraction]) -> None:
    if rule == "la_generic":
        total: Linear = {}
        strict = False
        assert len(args) == len(clause)
        for literal, factor in zip(clause, args, strict=True):
            kind, form = arithmetic(negation(literal))
            strict |= kind == ">" and factor != 0
            for n, v in form.items():
                total[n] = total.get(n, Fraction(0)) + (factor if kind == "=" else abs(factor)) * v
        assert not any(v for n, v in total.items() if n)
        assert total.get("", 0) < 0 or (strict and total.get("", 0) <= 0)
    elif rule == "resolution":
        found = premises[0]
        for other in premises[1:]:
            pivots = [x for x in found if negation(x) in other] + [x for x in found if ("not", x) in other]
            assert pivots, (found, other)
            found = (found - {pivots[0]}) | (other - {negation(pivots[0]), ("not", pivots[0])})
        assert found <= frozenset(clause), (found, clause)
    elif rule in ("ite1", "ite2"):
        ((_, test, then, other),) = premises[0]
        assert clause == ([test, other] if rule == "ite1" else [("not", test), then])
    elif rule == "or":
        (whole,) = premises[0]
        assert whole[0] == "or" and clause == list(whole[1:])
    elif rule == "and_pos":
        (_, (head, *parts)), part = clause
        assert head == "and" and part == parts[int(args[0])]
    else:
        raise AssertionError(rule)


def network_says(layers: Layers, asserted: list[Any], names: tuple[Callable[[int], str], Callable[[int], str]]) -> Any:
    """Whether a formula is one of the query's, or holds at every run of the network: at random runs."""
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(4):
        x = rng.uniform(-2, 2, layers[0][0].shape[1]).astype(np.float32)
        value = {names[0](i): Fraction(float(v)) for i, v in enumerate(x)}
        for k in range(len(layers)):
            before = exact(layers[: k + 1], x)
            for i, v in enumerate(before):
                if k < len(layers) - 1:
                    value[f"R{k}[{i}]_b"], value[f"R{k}[{i}]_f"] = v, max(v, Fraction(0))
                else:
                    value[names[1](i)] = v
        runs.append(value)

    def holds(term: Any, value: dict[str, Fraction]) -> bool:
        if term[0] == "ite":
            return holds(term[2] if holds(term[1], value) else term[3], value)
        kind, form = arithmetic(term)
        total = sum((v * (value[n] if n else 1) for n, v in form.items()), Fraction(0))
        return bool({"=": total == 0, ">=": total >= 0}[kind])

    return lambda term: term in asserted or (all(holds(term, v) for v in runs) and "X_" not in str(term[0]))


LAYERS = dense(3, 3, 7, 6, 2, size=1.3)
SPREAD = 0.6


def bottom(samples: int = 4000) -> tuple[float, float]:
    rng = np.random.default_rng(1)
    y = []
    for x in rng.uniform(-SPREAD, SPREAD, (samples, 3)):
        for i, (weight, bias) in enumerate(LAYERS):
            x = weight @ x + bias  # noqa: PLW2901
            x = np.maximum(x, 0) if i < len(LAYERS) - 1 else x  # noqa: PLW2901
        y.append(x)
    return float(np.min(y, 0)[0]), float(np.max(y, 0)[1])


LEAST, MOST = bottom()
ENDS = np.full(3, -SPREAD), np.full(3, SPREAD)


@pytest.mark.parametrize(
    "unsafe",
    [
        f"(<= Y_0 {LEAST - 0.2:.4f})",
        f"(and (<= Y_0 {LEAST - 0.2:.4f}) (>= Y_1 -100))",
        f"(or (and (<= Y_0 {LEAST - 0.2:.4f}) (>= Y_1 -9.5)) (>= Y_1 {MOST + 0.2:.4f}) (and (<= Y_0 {LEAST - 2:.4f})))",
    ],
)
def test_proofs_follow_rule_by_rule(tmp_path: Path, unsafe: str) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    query = write_property(tmp_path / "p.vnnlib", *ENDS, 2, unsafe)
    steps = write_alethe(tmp_path / "proof.alethe", net, query, 30)
    asserted = [item[1] for item in parsed(query.read_text()) if item[0] == "assert"]
    says = network_says(LAYERS, asserted, (lambda i: f"X_{i}", lambda i: f"Y_{i}"))
    text = (tmp_path / "proof.alethe").read_text()
    assert checked(text, says) == steps > 20
    assert "la_generic" in text and "resolution" in text


def test_the_small_checker_refuses_what_does_not_follow(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    query = write_property(tmp_path / "p.vnnlib", *ENDS, 2, f"(<= Y_0 {LEAST - 0.2:.4f})")
    write_alethe(tmp_path / "proof.alethe", net, query, 30)
    lines = (tmp_path / "proof.alethe").read_text().splitlines()
    asserted = [item[1] for item in parsed(query.read_text()) if item[0] == "assert"]
    says = network_says(LAYERS, asserted, (lambda i: f"X_{i}", lambda i: f"Y_{i}"))
    at = next(i for i, line in enumerate(lines) if "la_generic" in line)
    wrong = [
        lines[:-1],
        [x.replace("(<= Y_0 ", "(<= Y_0 1") for x in lines],
        [*lines[:at], re.sub(r":args \([^\s)]+", ":args (777", lines[at]), *lines[at + 1 :]],
        [x.replace(":rule resolution :premises (t1 ", ":rule resolution :premises (t2 ") for x in lines],
        [x for i, x in enumerate(lines) if i != at],
    ]
    for text in wrong:
        with pytest.raises((AssertionError, KeyError)):
            checked("\n".join(text), says)


def test_a_query_of_version_2_is_proven_in_its_own_names(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    ends = "".join(f"(assert (<= X[0,{i}] {SPREAD}))(assert (>= X[0,{i}] -{SPREAD}))" for i in range(3))
    (tmp_path / "q.vnnlib").write_text(
        "(vnnlib-version <2.0>)(declare-network n (declare-input X Real [1,3]) (declare-output Y Real [1,2]))"
        f"{ends}(assert (<= Y[0,0] {LEAST - 0.2:.4f}))"
    )
    steps = write_alethe(tmp_path / "proof.alethe", net, tmp_path / "q.vnnlib", 30)
    asserted = [item[1] for item in parsed((tmp_path / "q.vnnlib").read_text()) if item[0] == "assert"]
    says = network_says(LAYERS, asserted, (lambda i: f"X[0,{i}]", lambda i: f"Y[0,{i}]"))
    assert checked((tmp_path / "proof.alethe").read_text(), says) == steps


def test_what_cannot_be_proven_so_is_named(tmp_path: Path) -> None:
    net = write_dense(tmp_path / "net.onnx", LAYERS)
    false = write_property(tmp_path / "f.vnnlib", *ENDS, 2, f"(<= Y_0 {LEAST + 0.1:.4f})")
    with pytest.raises(RefusedError):
        write_alethe(tmp_path / "proof.alethe", net, false, 1)
    halves = " ".join(f"(and ({sign} X_0 0.1) (<= Y_0 -90))" for sign in ("<=", ">="))
    split = write_property(tmp_path / "s.vnnlib", *ENDS, 2, f"(or {halves})")
    with pytest.raises(NotModelledError, match="2 boxes"):
        write_alethe(tmp_path / "proof.alethe", net, split, 1)
    wide = write_dense(tmp_path / "wide.onnx", dense(0, 3, 600, 2))
    with pytest.raises(NotModelledError, match="600 rectifiers"):
        write_alethe(tmp_path / "proof.alethe", wide, false, 1)
