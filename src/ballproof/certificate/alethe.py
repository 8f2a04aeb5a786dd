"""Proofs of `unsat` in the VNN-LIB proof format, a subset of Alethe, for networks of affine layers and rectifiers.

After the chapter on proofs of the standard, a draft (VNNLIB/VNNLIB-Standard, branch `proofs`, 26 May 2026). Assumed are the
network's equations (e, y), its rectifiers (f, r) and the query's assertions (p). A proof by neurons gives the tree; what it
says of a leaf is walked again in fractions, so that the multiplier of every equation and inequality is known exactly: one step
`la_generic` a leaf. The ends of arguments and the chords above rectifiers are lemmas of the same kind, made where a leaf needs
them; `resolution` joins all. Every number has a finite decimal form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ballproof.certificate.by_neurons import graph_of, proven_by_neurons
from ballproof.certificate.checker.arithmetic import Arithmetic, NotModelledError, RefusedError
from ballproof.certificate.checker.network import Network
from ballproof.certificate.checker.neurons import LEVELS, Cell, Cells
from ballproof.certificate.checker.reading.onnx_file import read_network
from ballproof.certificate.checker.reading.specification import Row, added, roots, times
from ballproof.certificate.checker.rounded import Bounds
from ballproof.certificate.query import Query, number, printed, read_query, said

MOST_BENDS, MOST_WEIGHTS = 500, 2**17
"""Rectifying units, and weights of the network: beyond them fractions take too long."""

Unit = tuple[int, int]
"""Number of a rectifier in the order of the file, and of its unit."""

Splits = tuple[tuple[int, int, bool], ...]
"""Rectifier, unit, and whether its argument is >= 0."""

DIGITS = 40
"""Binary digits that the ends of intervals are rounded to, outward, and the slopes of chords."""


@dataclass(frozen=True)
class Fact:
    """`row >= 0`, `> 0` or `= 0`, as `text` says it. premise: the step that proves it; none where a split says it."""

    text: str
    row: tuple[tuple[str, Fraction], ...]
    kind: str = ">="
    premise: str | None = None

    @property
    def denied(self) -> str:
        return self.text[5:-1] if self.text.startswith("(not ") else f"(not {self.text})"


@dataclass(frozen=True)
class Leaf:
    """Where these splits hold, the mix of the rows is positive; slopes and multipliers as the checker reads them."""

    splits: Splits
    mix: Any
    slopes: list[Any]
    multipliers: list[tuple[int, int, float]]

    @staticmethod
    def of(splits: Splits, words: list[str], cells: Cells, group: int) -> Leaf:
        found = cells.query(Cell(group, cells.whole), words)
        return Leaf(splits, found.mix, found.slopes, found.multipliers)


def in_depth(lines: list[str]) -> Iterator[str]:
    """The lines of splits and leaves of a proof in depth-first order, group by group and the lower half first, without their
    cells."""
    said, children, roots_, count = dict[int, str](), dict[int, int](), dict[int, int](), 0
    for word, *rest in map(str.split, lines):
        if word == "a":
            roots_[int(rest[0])], count = count, count + 1
            continue
        said[int(rest[0])] = " ".join([word, *rest[1:]])
        if word == "n":
            children[int(rest[0])], count = count, count + 2
    stack = [roots_[group] for group in sorted(roots_, reverse=True)]
    while stack:
        cell = stack.pop()
        yield said[cell]
        stack += [children[cell] + 1, children[cell]] if cell in children else []


def fact(text: str, row: Row, kind: str = ">=", premise: str | None = None) -> Fact:
    return Fact(text, tuple(row.items()), kind, premise)


@dataclass
class Mix:
    """Facts with their multipliers. left: the row less all of them."""

    left: Row
    parts: dict[Fact, Fraction] = field(default_factory=dict)

    def use(self, one: Fact, factor: Fraction) -> None:
        if factor:
            assert factor > 0 or one.kind == "=", "a negative multiple of an inequality"
            self.parts[one] = self.parts.get(one, Fraction(0)) + factor
            self.left = {n: v for n, v in added([self.left, times(dict(one.row), -factor)]).items() if v}

    def of(self, name: str) -> Fraction:
        return self.left.get(name, Fraction(0))


def write_alethe(path: Path, network: Path, query: Path, seconds: float) -> int:
    """Write a proof; returns the number of its steps.

    Raises `NotModelledError` for what such a proof is not written of, `RefusedError` where none is found in time.
    """
    net, asked = read_network(network), read_query(query)
    bends = sum(n.size for n in net.nodes if n.kind == "Relu")
    weights = sum(p.weight.size * p.places.shape[1] for n in net.nodes if n.kind == "affine" for p in n.parts)
    if any(n.kind not in ("input", "affine", "Relu") or n.rooted for n in net.nodes):
        raise NotModelledError("more than affine layers and rectifiers, for a proof in the format of the standard")
    if bends > MOST_BENDS or weights > MOST_WEIGHTS:
        raise NotModelledError(
            f"{bends} rectifiers and {weights} weights; such proofs go up to {MOST_BENDS} and {MOST_WEIGHTS}"
        )
    found = roots(asked.cases, net)
    if len(found) != 1:
        raise NotModelledError(f"a query of {len(found)} boxes, for a proof in the format of the standard")
    graph, lines = graph_of(net, network), list[str]()
    if graph is None or not proven_by_neurons(net, graph, found[0], Arithmetic(), seconds, lines.append, narrow=False):
        raise RefusedError("no proof by neurons was found in time")
    proof = Proof(net, asked)
    bounds = Bounds(net, found[0].low[None], found[0].high[None], Arithmetic())
    proof.run(in_depth(lines), Cells(bounds, found[0].question))
    path.write_text("\n".join(proof.lines) + "\n")
    return proof.steps


class Proof:
    """The lines of one proof."""

    def __init__(self, network: Network, query: Query) -> None:
        self.query, self.net = query, network.of(Arithmetic(exact=True))
        self.lines: list[str] = []
        self.bends = [place for place, n in enumerate(self.net.nodes) if n.kind == "Relu"]
        self.facts: dict[tuple[Any, ...], Fact] = {}
        self.branches: dict[Unit, tuple[str, str]] = {}
        self.walks: dict[tuple[int, int], Row] = {}
        self.steps = 0
        self.choice = ""

    def run(self, text: Iterator[str], cells: Cells) -> None:
        self.network()
        groups = self.assertions()
        last = [self.choice] if self.choice else []
        for group, (asked, disjunct) in enumerate(groups):
            read = lambda splits, words, g=group: Leaf.of(splits, words, cells, g)  # noqa: E731
            step, clause = self.tree(text, (), asked, read)
            if not clause:
                return
            last.append(self.denied(disjunct, step, clause))
        self.step((), "resolution", last)

    # Assumptions

    def assume(self, name: str, text: str) -> str:
        self.lines.append(f"(assume {name} {text})")
        return name

    def network(self) -> None:
        for bend, place in enumerate(self.bends):
            for unit in range(self.net.nodes[place].size):
                b, f = names((bend, unit))
                self.equation(("e", bend, unit), b, self.argument((bend, unit)), f"e{bend}_{unit}")
                said_ = f"(>= {f} 0.0)"
                self.facts["f", bend, unit] = fact(said_, {f: Fraction(1)}, premise=self.assume(f"f{bend}_{unit}", said_))
                self.assume(f"r{bend}_{unit}", f"(ite (>= {b} 0.0) (= {b} {f}) (<= {f} 0.0))")
        for i, name in enumerate(self.query.outputs):
            at = int(self.net.output.index.ravel()[i])
            self.equation(("y", i), name, self.expression(self.net.output.node, at), f"y{i}")

    def equation(self, key: tuple[Any, ...], left: str, right: Row, name: str) -> None:
        """`left = right`, whose row is `right - left`."""
        row = added([right, {left: Fraction(-1)}])
        text = f"(= {printed(row)} {number(-row.get('', Fraction(0)))})"
        self.facts[key] = fact(text, row, "=", self.assume(name, text))

    def expression(self, place: int, unit: int) -> Row:
        """A number of a node by inputs and rectifiers."""
        if (place, unit) in self.walks:
            return self.walks[place, unit]
        node = self.net.nodes[place]
        if node.kind == "input":
            return {self.query.inputs[unit]: Fraction(1)}
        if node.kind == "Relu":
            return {names((self.bends.index(place), unit))[1]: Fraction(1)}
        found = [{"": Fraction(node.bias[unit])}]
        for part in node.parts:
            row = part.pulled(np.eye(1, node.size, unit, part.weight.dtype))[0]
            found += [times(self.expression(part.source, int(i)), Fraction(row[i])) for i in np.flatnonzero(row)]
        return self.walks.setdefault((place, unit), added(found))

    def argument(self, unit: Unit) -> Row:
        node = self.net.nodes[self.bends[unit[0]]]
        return self.expression(node.parts[0].source, int(node.parts[0].places[unit[1], 0, 0]))

    def assertions(self) -> list[tuple[list[Fact], Any]]:
        """Assume the query; the ends of the inputs become facts.

        Returns for each group the facts that must not all hold, and the disjunct that they are of.
        """
        groups: list[tuple[list[Fact], Any]] = [([], None)]
        for place, term in enumerate(self.query.asserted):
            name = self.assume(f"p{place}", said(term))
            if term[0] == "or":
                if self.choice:
                    raise NotModelledError("several disjunctions, for a proof in the format of the standard")
                self.choice = self.step([said(t) for t in term[1:]], "or", [name])
                groups = [([*groups[0][0], *map(self.atom, conjuncts(each))], each) for each in term[1:]]
                continue
            for k, each in enumerate(conjuncts(term)):
                one = self.atom(each, self.conjunct(term, k, name) if term[0] == "and" else name)
                if {n for n, _ in one.row if n} <= set(self.query.inputs):
                    self.end_of_input(one)
                else:
                    groups = [([*g, one], t) for g, t in groups]
        if any({n for n, _ in one.row} & set(self.query.inputs) for g, _ in groups for one in g):
            raise NotModelledError("ends of inputs in a disjunction, for a proof in the format of the standard")
        return groups

    def conjunct(self, term: Any, place: int, name: str) -> str:
        """The step that proves one conjunct of what `name` proves."""
        first = self.step([f"(not {said(term)})", said(term[1 + place])], "and_pos", args=[place])
        return self.step([said(term[1 + place])], "resolution", [first, name])

    def denied(self, term: Any, step: str, clause: set[str]) -> str:
        """The step that denies a disjunct, from one that denies some of its conjuncts."""
        if term[0] != "and":
            return step
        parts = [
            self.step([f"(not {said(term)})", said(each)], "and_pos", args=[k])
            for k, each in enumerate(term[1:])
            if f"(not {said(each)})" in clause
        ]
        return self.step([f"(not {said(term)})"], "resolution", [step, *parts])

    def atom(self, term: Any, premise: str | None = None) -> Fact:
        row, kind = self.query.row(term)
        return fact(said(term), row, kind, premise)

    def end_of_input(self, one: Fact) -> None:
        """Keep the nearest end on each side."""
        ((name, factor),) = [(n, v) for n, v in one.row if n]
        key = ("x", self.query.inputs.index(name), factor > 0)
        place = lambda f: dict(f.row).get("", Fraction(0)) / abs(dict(f.row)[name])  # noqa: E731
        if key not in self.facts or place(one) < place(self.facts[key]):
            self.facts[key] = one

    # Steps

    def step(self, clause: Iterable[str], rule: str, premises: Iterable[str] = (), args: Iterable[Any] = ()) -> str:
        self.steps += 1
        given, more = " ".join(premises), " ".join(str(a) for a in args)
        tail = (f" :premises ({given})" if given else "") + (f" :args ({more})" if more else "")
        self.lines.append(f"(step t{self.steps} ({' '.join(['cl', *clause])}) :rule {rule}{tail})")
        return f"t{self.steps}"

    def contradiction(self, mix: Mix) -> str:
        """The clause that not all facts of the mix hold: what is left of zero is a number that is not negative."""
        value = mix.of("")
        assert set(mix.left) <= {""} and (value > 0 or (value == 0 and any(f.kind == ">" for f in mix.parts)))
        return self.step([f.denied for f in mix.parts], "la_generic", args=mix.parts.values())

    def lemma(self, text: str, row: Row, mixes: list[Mix], premises: Iterable[str] = ()) -> Fact:
        """`row >= 0`, which each of the mixes says in one case; the premises say that there is no other case."""
        goal, steps, known = fact(f"(not {text})", times(row, -1), ">"), [], []
        for mix in mixes:
            mix.use(goal, Fraction(1))
            steps.append(self.contradiction(mix))
            known += [f.premise for f in mix.parts if f.premise]
        order = [steps[0], *premises, *steps[1:], *dict.fromkeys(known)]  # each resolves with what those before it leave
        return fact(text, row, premise=self.step([text], "resolution", order))

    def cases(self, unit: Unit) -> tuple[str, str]:
        """The two clauses of a rectifier: `b >= 0` or `f <= 0`; not `b >= 0` or `b = f`."""
        b, f = names(unit)
        if unit not in self.branches:
            premise = [f"r{unit[0]}_{unit[1]}"]
            one = self.step([f"(>= {b} 0.0)", f"(<= {f} 0.0)"], "ite1", premise)
            self.branches[unit] = one, self.step([f"(not (>= {b} 0.0))", f"(= {b} {f})"], "ite2", premise)
        return self.branches[unit]

    def once(self, key: tuple[Any, ...], make: Callable[[], Fact]) -> Fact:
        if key not in self.facts:
            self.facts[key] = make()
        return self.facts[key]

    def end(self, unit: Unit, above: bool) -> tuple[Fact, Fraction]:
        """The argument's largest or least value, proven."""
        b, sign = names(unit)[0], Fraction(-1 if above else 1)

        def make() -> Fact:
            found = [self.walked({b: sign}, flat=flat) for flat in (False, True)]
            mix = max(found, key=lambda m: m.of(""))
            value = shorter(mix.of(""))
            text = f"(<= {b} {number(-value)})" if above else f"(>= {b} {number(value)})"
            mix.left = {}  # the lemma adds its goal: what is left then is the value of the mix less that of the lemma
            parts, mix.parts = mix.parts, {}
            for one, factor in parts.items():
                mix.use(one, factor)
            return self.lemma(text, {b: sign, "": -value}, [mix])

        known = self.once(("end", unit, above), make)
        return known, -sign * dict(known.row)[""]

    def above(self, unit: Unit) -> Fact:
        """`f >= b`."""
        b, f = names(unit)

        def make() -> Fact:
            on, off = Mix({}), Mix({})
            on.use(equal(unit), Fraction(-1))
            off.use(negative(unit), Fraction(1))
            off.use(self.facts["f", *unit], Fraction(1))
            return self.lemma(f"(>= {f} {b})", {f: Fraction(1), b: Fraction(-1)}, [on, off], [self.cases(unit)[1]])

        return self.once(("a", unit), make)

    def ceiling(self, unit: Unit, flat: bool) -> Fact:
        """The chord above the rectifier, or its largest value: `f <= slope b + offset`."""
        b, f = names(unit)

        def make() -> Fact:
            (lower, low), (upper, high) = self.end(unit, False), self.end(unit, True)
            slope = Fraction(0) if flat or high <= 0 else Fraction(1) if low >= 0 else shorter(high / (high - low))
            offset = max(-slope * low, high - slope * high, Fraction(0))
            on, off = Mix({}), Mix({})
            on.use(equal(unit), Fraction(1))
            on.use(upper, 1 - slope)
            off.use(zero(unit), Fraction(1))
            off.use(lower, slope)
            text = f"(<= {printed({f: Fraction(1), b: -slope})} {number(offset)})"
            return self.lemma(text, {b: slope, "": offset, f: Fraction(-1)}, [on, off], self.cases(unit)[::-1])

        return self.once(("ceiling", unit, flat), make)

    # Walks

    def walked(self, row: Row, leaf: Leaf | None = None, flat: bool = False) -> Mix:
        """Facts with multipliers that leave a number of the row: it is nowhere less where the leaf's splits hold."""
        mix = Mix({n: v for n, v in row.items() if v})
        signs = {} if leaf is None else {s[:2]: s[2] for s in leaf.splits}
        told = {} if leaf is None else {m[:2]: Fraction(m[2]) for m in leaf.multipliers}
        for i, name in enumerate(self.query.outputs):
            mix.use(self.facts["y", i], -mix.of(name))
        for bend in reversed(range(len(self.bends))):
            for unit in range(self.net.nodes[self.bends[bend]].size):
                one = bend, unit
                self.rectifier(mix, one, signs.get(one), leaf, flat)
                self.multiplier(mix, one, told.get(one, Fraction(0)), signs.get(one))
                mix.use(self.facts["e", bend, unit], -mix.of(names(one)[0]))
        for i, name in enumerate(self.query.inputs):
            if factor := mix.of(name):
                end = self.facts["x", i, factor > 0]
                mix.use(end, abs(factor / dict(end.row)[name]))
        return mix

    def rectifier(self, mix: Mix, unit: Unit, above: bool | None, leaf: Leaf | None, flat: bool) -> None:
        """Replace a rectifier's value by its argument."""
        factor = mix.of(names(unit)[1])
        if factor > 0:
            slope = self.slope(unit, above, leaf)
            if slope:
                mix.use(self.above(unit), factor * slope)
            mix.use(self.facts["f", *unit], factor * (1 - slope))
        elif factor < 0:
            mix.use(self.ceiling(unit, flat) if above is None else equal(unit) if above else zero(unit), -factor)

    def slope(self, unit: Unit, above: bool | None, leaf: Leaf | None) -> Fraction:
        """Of the line below."""
        if above is not None:
            return Fraction(int(above))
        low, high = self.end(unit, False)[1], self.end(unit, True)[1]
        if leaf is not None and low < 0 < high and (level := int(leaf.slopes[unit[0]][unit[1]])) >= 0:
            return Fraction(level, LEVELS)
        return Fraction(int(low >= 0 or high > -low))

    def multiplier(self, mix: Mix, unit: Unit, factor: Fraction, above: bool | None) -> None:
        """Add a multiple of the argument to the row, for its price."""
        if not factor:
            return
        by_split = positive(unit) if above is True and factor < 0 else negative(unit) if above is False and factor > 0 else None
        mix.use(by_split or self.end(unit, factor > 0)[0], abs(factor))

    # The tree

    def tree(self, text: Iterator[str], splits: Splits, asked: list[Fact], read: Any) -> tuple[str, set[str]]:
        """A step that refutes what is asked wherever the splits hold, and its literals."""
        word, *rest = next(text).split()
        if word == "q":
            return self.leaf(read(splits, rest), asked)
        unit = int(rest[0]), int(rest[1])
        below, above = (self.tree(text, (*splits, (*unit, side)), asked, read) for side in (False, True))
        literal = positive(unit)
        for step, literals in ((below, literal.text), (above, literal.denied)):
            if literals not in step[1]:
                return step
        clause = (below[1] - {literal.text}) | (above[1] - {literal.denied})
        return self.step(sorted(clause), "resolution", [below[0], above[0]]), clause

    def leaf(self, leaf: Leaf, asked: list[Fact]) -> tuple[str, set[str]]:
        """One step for the leaf, resolved with all that is proven."""
        goal = added([times(dict(f.row), -Fraction(float(w))) for f, w in zip(asked, leaf.mix, strict=True)])
        mix = self.walked(goal, leaf)
        if mix.of("") <= 0:
            raise RefusedError("a leaf that the walk in fractions does not prove: its intervals are wider")
        mix.left = {"": mix.of("")}
        for one, weight in zip(asked, leaf.mix, strict=True):
            if weight:
                mix.parts[one] = Fraction(float(weight))
        step = self.contradiction(mix)
        known: list[str] = []
        clause = set()
        for one in mix.parts:
            split = next((s for s in leaf.splits if one in (equal(s[:2]), zero(s[:2]))), None)
            if one.premise:
                known.append(one.premise)
            elif split:
                known.append(self.cases(split[:2])[split[2]])
                clause.add(positive(split[:2]).denied if split[2] else positive(split[:2]).text)
            else:
                clause.add(one.denied)
        return self.step(sorted(clause), "resolution", [step, *dict.fromkeys(known)]), clause


def names(unit: tuple[int, int]) -> tuple[str, str]:
    """Of a rectifier's argument and value."""
    return f"R{unit[0]}[{unit[1]}]_b", f"R{unit[0]}[{unit[1]}]_f"


def equal(unit: Unit) -> Fact:
    b, f = names(unit)
    return fact(f"(= {b} {f})", {b: Fraction(1), f: Fraction(-1)}, "=")


def zero(unit: Unit) -> Fact:
    f = names(unit)[1]
    return fact(f"(<= {f} 0.0)", {f: Fraction(-1)})


def positive(unit: Unit) -> Fact:
    b = names(unit)[0]
    return fact(f"(>= {b} 0.0)", {b: Fraction(1)})


def negative(unit: Unit) -> Fact:
    b = names(unit)[0]
    return fact(f"(not (>= {b} 0.0))", {b: Fraction(-1)}, ">")


def conjuncts(term: Any) -> list[Any]:
    return list(term[1:]) if term[0] == "and" else [term]


def shorter(value: Fraction) -> Fraction:
    """At most the value, of few digits."""
    return Fraction(math.floor(value * 2**DIGITS), 2**DIGITS)
