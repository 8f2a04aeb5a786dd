"""The semidefinite relaxation of a rectifier network on one example, as products of affine forms (Raghunathan et al. 2018b).

The variables are the input and the outputs of the rectifiers that the intervals leave unsettled; everything else is folded
into affine rows. Each variable v in [l, u] is written as its center plus its radius times w in [-1, 1]. With v = (1, w) the
matrix P stands for v v^T: P is positive semidefinite, P_00 = 1, P_ii <= 1, and for affine forms f, g that are >= 0 on the
network so is f·P·g. An unsettled rectifier z = relu(y) with l < y < u has three such forms,

    z,    n = z - y (the part below zero),    h = u|l| - |l| z - u n (the height under the triangle's upper line),

and their products with 1 and with each other are n >= 0, h >= 0 (Ehlers' triangle), z n = 0 (one of the two parts is zero,
which no linear program can say), n h >= 0 (this is n^2 <= |l| n). z h >= 0 is P_ii <= 1 again, and z >= 0 follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from ballproof.bounds.composition import Composition, Written, units
from ballproof.bounds.program import Array, Program, joined
from ballproof.errors import InputError, SoundnessError, UnsupportedError
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.relu import Relu
from ballproof.values import Interval


@dataclass(frozen=True)
class Forms:
    """Products of affine forms over (1, w): `rows[left[k]] · P · rows[right[k]]` is >= 0, or = 0 where `equal[k]`.

    rows: `(form, 1 + variable)` float64, each scaled to a largest coefficient of 1; row 0 is the constant 1.
    """

    rows: Array
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    equal: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """The order of P."""
        return int(self.rows.shape[1])

    def products(self, P: Array) -> Array:
        """The value of every product on a symmetric matrix P."""
        found: Array = np.einsum("kn,kn->k", (self.rows @ P)[self.left], self.rows[self.right])
        return found

    def combined(self, multipliers: Array) -> Array:
        """The symmetric matrix whose inner product with P is `multipliers · products(P)`."""
        half = (self.rows[self.left].T * multipliers) @ self.rows[self.right] / 2
        return half + half.T


@dataclass(frozen=True)
class Rectifiers:
    """The unsettled coordinates of one node: their arguments as rows and constants over the variables before them."""

    rows: sparse.csr_matrix
    constant: Array
    ends: Interval
    first: int


class Lifting:
    """The relaxation of one example: `forms` serve all queries, `cost` writes them."""

    def __init__(self, graph: Graph, box: Interval, known: Mapping[str, Interval]) -> None:
        """box: `(1, *input)`. known: proven intervals of the arguments of rectifiers; a missing one is an `InputError`.

        All float64. Raises `UnsupportedError` for a nonlinear node that is no rectifier.
        """
        self.graph, self.known, self.program = graph, known, Program()
        self.composition = Composition(graph, self.program)
        self.rectifiers: list[Rectifiers] = []
        first = self.program.variables(box, graph.input)
        self.composition.written[graph.input] = Written(torch.arange(box.lower.numel()), first)
        for node in graph.varying:
            if isinstance(node.operation, Relu):
                self._rectifier(node, node.operation)
            elif isinstance(node.operation, Nonlinear):
                raise UnsupportedError(
                    f"node `{node.name}`: the method `sdp` has no {node.operation}; supported: relu; use `lp`"
                )
        lower, upper = self.program.column_ends()
        self.center, self.radius = (lower + upper) / 2, (upper - lower) / 2
        self.moving = self.radius > 0
        self.forms = self._forms()

    def _rectifier(self, node: Node, operation: Relu) -> None:
        """Settled coordinates become lines, the others variables between 0 and the upper end of their argument."""
        name = self.composition.argument(node)
        if name not in self.known:
            raise InputError(f"`intervals` lack `{name}`, the argument of `{node.name}`; they have {', '.join(self.known)}")
        x = self.known[name].checked(name)
        (open_,) = operation.unsettled(x)
        places = open_.flatten().nonzero().flatten()
        ends = Interval(x.lower.flatten()[places], x.upper.flatten()[places])
        if not bool(torch.isfinite(ends.lower).all()):
            raise SoundnessError(f"an end of `{name}` is infinite: no semidefinite relaxation stands on it")
        shape, size = self.graph.node[name].shape, x.lower.numel()
        found = [self.composition.rows(name, unit.reshape(-1, *shape)) for unit in units(size, places)]
        first = self.program.variables(Interval(torch.zeros_like(ends.upper), ends.upper), node.name)
        slope = (x.lower >= 0).double().masked_fill(open_, 0)
        self.composition.written[node.name] = Written(places, first, slope, torch.zeros_like(slope))
        rows = sparse.vstack([r for r, _ in found], format="csr")
        self.rectifiers.append(Rectifiers(rows, joined([c for _, c in found]), ends, first))

    def scaled(self, rows: sparse.csr_matrix, constant: Array) -> Array:
        """Rows and constants over the variables, as dense rows over (1, w); a variable that cannot move is a constant."""
        wide = np.zeros((rows.shape[0], len(self.center)))
        wide[:, : rows.shape[1]] = rows.toarray()
        return np.column_stack([constant + wide @ self.center, (wide * self.radius)[:, self.moving]])

    def cost(self, cotangent: Tensor) -> Array:
        """`cotangent (query, *output) · output` as rows over (1, w), `(query, 1 + variable)`."""
        return self.scaled(*self.composition.rows(self.graph.output, cotangent))

    def _forms(self) -> Forms:
        one = np.zeros((1, 1 + int(self.moving.sum())))
        one[0, 0] = 1
        parts = [self._three(r) for r in self.rectifiers]
        z, n, h = (np.vstack([one[:0], *(p[i] for p in parts)]) for i in range(3))
        count = len(z)
        of_z, of_n, of_h = (1 + k * count + np.arange(count) for k in range(3))
        constant = np.zeros(count, dtype=np.int64)
        left = np.concatenate([constant, constant, of_z, of_n])
        right = np.concatenate([of_n, of_h, of_n, of_h])
        equal = np.arange(4 * count) // max(count, 1) == 2
        return Forms(np.vstack([one, z, n, h]), left, right, equal)

    def _three(self, part: Rectifiers) -> tuple[Array, Array, Array]:
        """The forms z, n and h of some rectifiers."""
        low, high = part.ends.lower.numpy(), part.ends.upper.numpy()
        y = self.scaled(part.rows, part.constant)
        own = sparse.csr_matrix(
            (np.ones(len(y)), (np.arange(len(y)), part.first + np.arange(len(y)))), (len(y), len(self.center))
        )
        z = self.scaled(own, np.zeros(len(y)))
        n = z - y
        h = -low[:, None] * -z - high[:, None] * n
        h[:, 0] -= high * low
        return tuple(f / np.abs(f).max(1, keepdims=True, initial=0) for f in (z, n, h))
