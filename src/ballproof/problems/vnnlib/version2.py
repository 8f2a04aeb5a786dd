"""VNN-LIB 2.0: declared networks with tensors, and assertions that index them, brought to the words of version 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems.vnnlib.forms import Form, nested
from ballproof.problems.vnnlib.specification import Declared, Network

VERSION = re.compile(r"\(\s*vnnlib-version\s*<\s*([0-9]{1,9})\.([0-9]{1,9})\s*>\s*\)")
DIGITS = re.compile(r"[0-9]{1,18}")
BRACKETS = re.compile(r"\[([^\]]*)\]")
QUOTED = re.compile(r'"[^"]+"')
REFERENCE = re.compile(r"([A-Za-z_]\w*)(?:\[([\d,]*)\])?")


def version(text: str) -> tuple[int, int] | None:
    """The version that a header form states; None for any other form."""
    found = VERSION.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


MOST_NUMBERS = 10**6
"""Of all inputs, and of all outputs: each becomes a variable, and a file of a few bytes may declare as many as it likes."""

REAL = ("Real", "real")
FLOATS = (*REAL, "float16", "float32", "float64", "bfloat16")
WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
"""The types that are read, all as real numbers: whole ones only where the network gives them."""


def place(tensor: Declared, index: tuple[int, ...]) -> str:
    """The name in version 1 of an entry; row-major."""
    if len(index) != len(tensor.shape) or any(i >= n for i, n in zip(index, tensor.shape, strict=True)):
        raise InputError(f"`{tensor.name}` is indexed {list(index)}, but its shape is {list(tensor.shape)}")
    at = 0
    for i, n in zip(index, tensor.shape, strict=True):
        at = at * n + i
    return f"{tensor.kind}_{tensor.first + at}"


WORDS = {"declare-input": "X", "declare-output": "Y", "declare-hidden": "Y"}
LIKE = {"equal-to": True, "isomorphic-to": False}


@dataclass
class Declarations:
    """The tensors and the networks by name."""

    tensors: dict[str, Declared] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=lambda: {"X": 0, "Y": 0})

    def network(self, text: str) -> Iterator[tuple[str, int]]:
        """Takes a declare-network form in; the kind and the number of every variable that it declares."""
        match nested(_closed(text)):
            case ["declare-network", str(name), *parts]:
                self._named(name, parts)
            case _:
                raise InputError(f"`{text[:60]}` is no declaration of a network")
        for word, kind in WORDS.items():
            told = [p for p in parts if isinstance(p, list) and p[:1] == [word]]
            if not told and word != "declare-hidden":
                raise InputError(f"the network `{name}` has no {word}")
            for part in told:
                first = self.count[kind]
                self._tensor(name, word, part)
                yield from ((kind, at) for at in range(first, self.count[kind]))

    def _named(self, name: str, parts: list[Form]) -> None:
        """Takes the network itself in."""
        if name in self.networks:
            raise InputError(f"the network `{name}` is declared twice")
        found = Network(name)
        for part in parts:
            match part:
                case ["equal-to" | "isomorphic-to" as word, str(like)]:
                    if like not in self.networks or found.like:
                        raise InputError(
                            f"the network `{name}` is {word} `{like}`; expected one network that is declared before"
                        )
                    found = Network(name, like, LIKE[str(word)])
                case [str(word), *_] if word in WORDS:
                    pass
                case _:
                    raise UnsupportedError(f"`{_head(part)}` in a network; supported: {', '.join((*WORDS, *LIKE))}")
        self.networks[name] = found

    def _tensor(self, network: str, word: str, form: list[Form]) -> None:
        """Takes a tensor in whose entries are counted behind those of its kind."""
        kind, hidden = WORDS[word], ""
        if word == "declare-hidden":
            *form, last = form
            hidden = last[1:-1] if isinstance(last, str) and QUOTED.fullmatch(last) else ""
        match form:
            case [_, str(name), str(number), str(dims)] if BRACKETS.fullmatch(dims) and bool(hidden) == (
                word == "declare-hidden"
            ):
                shape = _numbers(dims[1:-1], name)
            case _:
                told = "a name, a type and dimensions, as in (declare-input X Real [1,5]); of a hidden one its quoted name too"
                raise InputError(f"`{_head(form)}`: expected {told}")
        types = FLOATS if kind == "X" else (*FLOATS, *WHOLE)
        if number not in types:
            raise UnsupportedError(f"the type `{number}` of `{name}`; supported: {', '.join(types)}")
        if name in self.tensors:
            raise InputError(f"`{name}` is declared twice")
        if prod(shape) > MOST_NUMBERS - self.count[kind]:
            raise UnsupportedError(f"`{name}` has the shape {list(shape)}: more than {MOST_NUMBERS:,} numbers")
        self.tensors[name] = Declared(network, name, kind, number, shape, self.count[kind], hidden)
        self.count[kind] += prod(shape)

    def assertion(self, text: str) -> Form:
        """The formula of an assert form, in the words of version 1."""
        match nested(_closed(text)):
            case ["assert", formula]:
                return self._renamed(formula)
        raise InputError(f"`{text[:60]}` is no form of VNN-LIB 2.0; expected declare-network or assert")

    def _renamed(self, form: Form) -> Form:
        if isinstance(form, list):
            return [form[0], *(self._renamed(f) for f in form[1:])] if form else form
        found = REFERENCE.fullmatch(form)
        if found is None or found[1] not in self.tensors:
            return form
        return place(self.tensors[found[1]], _numbers(found[2] or "", found[1]))


def _closed(text: str) -> str:
    """Without blanks inside brackets, so that an index is one word."""
    return BRACKETS.sub(lambda m: "[" + "".join(m[1].split()) + "]", text)


def _numbers(text: str, name: str) -> tuple[int, ...]:
    parts = [p for p in text.split(",") if p]
    if not all(DIGITS.fullmatch(p) for p in parts):
        raise InputError(f"`{name}` has the dimensions [{text}]; expected whole numbers")
    return tuple(int(p) for p in parts)


def _head(form: Form) -> str:
    return str(form[0]) if isinstance(form, list) and form else str(form)
