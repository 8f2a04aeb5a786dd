"""`einsum` of one or two values for both readers: sums of products along named axes, as one matrix product."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ballproof.errors import InputError, UnsupportedError
from ballproof.networks.composed import Sketch, product
from ballproof.operations.linear import Linear
from ballproof.operations.matrix_product import MatrixProduct
from ballproof.operations.permute import Permute
from ballproof.operations.reshape import Reshape
from ballproof.operations.sum import Sum

Constant = Callable[[str, Callable[[Tensor], Tensor], str], str]
"""Gives a constant node made of another one by a function of its tensor."""


@dataclass(frozen=True)
class Term:
    """A value and the letters of its axes. Where it varies the batch axis of the graph is not among them."""

    name: str
    axes: str


@dataclass(frozen=True)
class Equation:
    """`ij,jk->ik`: the letters of each value and of the result."""

    inputs: tuple[str, ...]
    output: str

    @staticmethod
    def read(text: str) -> Equation:
        """Raises `UnsupportedError` for an ellipsis and for a letter that stands twice in one value."""
        left, arrow, right = text.replace(" ", "").partition("->")
        inputs = tuple(left.split(","))
        letters = "".join(inputs)
        output = right if arrow else "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
        if "." in text or any(len(set(part)) != len(part) for part in (*inputs, output)):
            raise UnsupportedError(f"einsum {text!r}; supported: every axis named, no letter twice in one value")
        if not set(output) <= set(letters) or len(inputs) not in (1, 2):
            raise UnsupportedError(f"einsum {text!r}; supported: one or two values, results made of their axes")
        return Equation(inputs, output)


def contracted(s: Sketch, terms: list[Term], output: str, constant: Constant, part: str = "") -> str:
    """The sum of products. Of two values one or both vary; letters that both have and the result keeps run along."""
    terms = [_summed(s, t, output + "".join(o.axes for o in terms if o is not t), constant) for t in terms]
    if len(terms) == 1:
        return _ordered(s, terms[0], output, part)
    a, b = terms if s.depends(terms[0].name) else terms[::-1]
    sizes = {**_sizes(s, a), **_sizes(s, b)}
    if any(_sizes(s, t)[c] != sizes[c] for t in (a, b) for c in t.axes):
        raise InputError(f"axes of different lengths in {a.axes},{b.axes}->{output}")
    along = "".join(c for c in a.axes if c in b.axes and c in output)
    inner = "".join(c for c in a.axes if c in b.axes and c not in output)
    left = "".join(c for c in a.axes if c not in b.axes)
    right = "".join(c for c in b.axes if c not in a.axes)
    shape = [prod(sizes[c] for c in group) for group in (along, left, inner, right)]
    grouped = along + left + right
    if not s.depends(b.name):
        found = _by_constant(s, a, b, (along, left, inner, right), shape, constant)
    else:
        first = _flat(s, a, along + left + inner, (shape[0], shape[1], shape[2]), "first")
        second = _flat(s, b, along + inner + right, (shape[0], shape[2], shape[3]), "second")
        found = s.node(MatrixProduct(), first, second, part="product")
    found = s.node(Reshape(tuple(sizes[c] for c in grouped)), found, part="axes")
    return _ordered(s, Term(found, grouped), output, part)


def _by_constant(s: Sketch, a: Term, b: Term, groups: tuple[str, ...], shape: list[int], constant: Constant) -> str:
    """A matrix for all where nothing runs along; otherwise products with the constant, summed."""
    along, left, inner, right = groups
    if not along:
        rows = constant(b.name, lambda t: _turned(t, b.axes, right + inner).reshape(shape[3], shape[2]), "matrix")
        return s.node(Linear(), _flat(s, a, left + inner, (shape[1], shape[2]), "first"), rows, part="product")
    first = _flat(s, a, along + left + inner, (shape[0], shape[1], 1, shape[2]), "first")
    table = constant(
        b.name, lambda t: _turned(t, b.axes, along + right + inner).reshape(1, shape[0], 1, shape[3], shape[2]), "table"
    )
    return s.node(Sum((4,), False), product(s, first, table, "products"), part="product")


def _sizes(s: Sketch, term: Term) -> dict[str, int]:
    shape = s.sizes(term.name)
    if len(shape) != len(term.axes):
        raise InputError(f"a value of shape {shape} for the axes {term.axes!r}")
    return dict(zip(term.axes, shape, strict=True))


def _summed(s: Sketch, term: Term, needed: str, constant: Constant) -> Term:
    """Without the axes that no other value and not the result has."""
    gone = [k for k, c in enumerate(term.axes) if c not in needed]
    _sizes(s, term)
    if not gone:
        return term
    rest = "".join(c for c in term.axes if c in needed)
    if s.depends(term.name):
        return Term(s.node(Sum(tuple(k + 1 for k in gone), False), term.name, part="summed"), rest)
    return Term(constant(term.name, lambda t: t.sum(gone), "summed"), rest)


def _flat(s: Sketch, term: Term, axes: str, shape: tuple[int, ...], part: str) -> str:
    """The axes in this order, in groups."""
    return s.node(Reshape(shape), _ordered(s, term, axes, f"{part}_turned"), part=part)


def _ordered(s: Sketch, term: Term, axes: str, part: str) -> str:
    if axes == term.axes:
        return term.name
    return s.node(Permute((0, *(term.axes.index(c) + 1 for c in axes))), term.name, part=part)


def _turned(value: Tensor, axes: str, wanted: str) -> Tensor:
    return value.permute([axes.index(c) for c in wanted]) if axes else torch.as_tensor(value)
