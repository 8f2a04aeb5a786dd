"""`Specification`: boxes of inputs, and on each the outputs that must not occur."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


Variable = tuple[str, int]
"""X or Y, and its number."""

Product = tuple[Variable, ...]
"""The factors of a product, two or more, sorted."""


@dataclass(frozen=True)
class Row:
    """`sum on_y[j] y_j + sum on_x[i] x_i + sum on_products[p] p(x, y) <= bound`, strictly where `strict`.

    Pairs of (number or product, coefficient). exact: it is strict, and floats hold its numbers as the file says them.
    """

    on_y: tuple[tuple[int, float], ...]
    on_x: tuple[tuple[int, float], ...]
    bound: float
    strict: bool = False
    on_products: tuple[tuple[Product, float], ...] = ()
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """A violation is an x with `lower <= x <= upper` whose (x, y) satisfies all rows of one of the groups.

    lower, upper: `(inputs,)` float64, the nearest to the file's decimals. A group without rows is satisfied by every point.
    `strict_lower`, `strict_upper`: the inputs whose end is excluded.
    """

    lower: Array
    upper: Array
    groups: tuple[tuple[Row, ...], ...]
    strict_lower: frozenset[int] = frozenset()
    strict_upper: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Declared:
    """A tensor that a file of version 2.0 declares. kind: X or Y. number: its type's name, `Real` or one of ONNX. first: the
    number of its first entry among all X or Y. hidden: what the network's file calls it, where it is no output of its own."""

    network: str
    name: str
    kind: str
    number: str
    shape: tuple[int, ...]
    first: int
    hidden: str = ""


@dataclass(frozen=True)
class Network:
    """A network that a file of version 2.0 declares. like: the earlier one that it is said to be `equal` or `isomorphic` to."""

    name: str
    like: str = ""
    equal: bool = False


@dataclass(frozen=True, eq=False)
class Specification:
    """What a file asks: is there a violation in any of the cases? None of them: it holds for want of inputs.

    inputs, outputs: how many X and Y the file declares, network after network, hidden nodes behind the outputs of their own.
    tensors, networks: what a file of version 2.0 declares, in order.
    """

    inputs: int
    outputs: int
    cases: tuple[Case, ...]
    tensors: tuple[Declared, ...] = ()
    networks: tuple[Network, ...] = ()

    @property
    def relates_inputs(self) -> bool:
        """Whether some row weighs inputs beside outputs, relates inputs to each other, or multiplies."""
        return any(row.on_x or row.on_products for row in self._rows())

    @property
    def products(self) -> tuple[Product, ...]:
        """Those that some row weighs, of few factors first."""
        return tuple(sorted({p for row in self._rows() for p, _ in row.on_products}, key=lambda p: (len(p), p)))

    def _rows(self) -> Iterator[Row]:
        return (row for case in self.cases for group in case.groups for row in group)
