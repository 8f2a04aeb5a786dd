"""VNN-LIB 2.0: a declared network with tensors, and assertions that index them, brought to the words of version 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems.vnnlib.forms import Form, nested
from ballproof.problems.vnnlib.specification import Declared

VERSION = re.compile(r"\(\s*vnnlib-version\s*<\s*([0-9]{1,9})\.([0-9]{1,9})\s*>\s*\)")
WHOLE = re.compile(r"[0-9]{1,18}")
BRACKETS = re.compile(r"\[([^\]]*)\]")
REFERENCE = re.compile(r"([A-Za-z_]\w*)(?:\[([\d,]*)\])?")


def version(text: str) -> tuple[int, int] | None:
    """The version that a header form states; None for any other form."""
    found = VERSION.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


MOST_NUMBERS = 10**6
"""Of all inputs, and of all outputs: each becomes a variable, and a file of a few bytes may declare as many as it likes."""

NUMBERS = ("Real", "real", "float16", "float32", "float64", "bfloat16")
"""The types that are read, all as real numbers."""


def place(tensor: Declared, index: tuple[int, ...]) -> str:
    """The name in version 1 of an entry; row-major."""
    if len(index) != len(tensor.shape) or any(i >= n for i, n in zip(index, tensor.shape, strict=True)):
        raise InputError(f"`{tensor.name}` is indexed {list(index)}, but its shape is {list(tensor.shape)}")
    at = 0
    for i, n in zip(index, tensor.shape, strict=True):
        at = at * n + i
    return f"{tensor.kind}_{tensor.first + at}"


@dataclass
class Declarations:
    """The tensors by name."""

    tensors: dict[str, Declared] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)

    def network(self, text: str) -> Iterator[tuple[str, int]]:
        """Takes a declare-network form in; the kind and the number of every variable that it declares."""
        match nested(_closed(text)):
            case ["declare-network", str(name), *parts]:
                self.networks.append(name)
            case _:
                raise InputError(f"`{text[:60]}` is no declaration of a network")
        if len(self.networks) > 1:
            raise UnsupportedError(f"the networks {', '.join(self.networks)}; supported: one")
        for kind, word in (("X", "input"), ("Y", "output")):
            own = [p for p in parts if isinstance(p, list) and p[:1] == [f"declare-{word}"]]
            if not own:
                raise InputError(f"the network `{name}` has no declare-{word}")
            first = 0
            for part in own:
                count = self._tensor(kind, part, first)
                yield from ((kind, first + at) for at in range(count))
                first += count
        for p in parts:
            if not (isinstance(p, list) and p[:1] in (["declare-input"], ["declare-output"])):
                raise UnsupportedError(f"`{_head(p)}` in a network; supported: declare-input, declare-output")

    def _tensor(self, kind: str, form: list[Form], first: int) -> int:
        """Takes a tensor in whose entries are counted from `first` on; how many they are."""
        match form:
            case [_, str(name), str(number), str(dims)] if BRACKETS.fullmatch(dims):
                shape = _numbers(dims[1:-1], name)
            case _:
                raise InputError(f"`{_head(form)}`: expected a name, a type and dimensions, as in (declare-input X Real [1,5])")
        if number not in NUMBERS:
            raise UnsupportedError(f"the type `{number}` of `{name}`; supported: {', '.join(NUMBERS)}")
        if name in self.tensors:
            raise InputError(f"`{name}` is declared twice")
        if prod(shape) > MOST_NUMBERS - first:
            raise UnsupportedError(f"`{name}` has the shape {list(shape)}: more than {MOST_NUMBERS:,} numbers")
        self.tensors[name] = Declared(self.networks[-1], name, kind, number, shape, first)
        return prod(shape)

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
    if not all(WHOLE.fullmatch(p) for p in parts):
        raise InputError(f"`{name}` has the dimensions [{text}]; expected whole numbers")
    return tuple(int(p) for p in parts)


def _head(form: Form) -> str:
    return str(form[0]) if isinstance(form, list) and form else str(form)
