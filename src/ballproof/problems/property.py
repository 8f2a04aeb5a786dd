"""Properties, held as their violation: an OR of ANDs of linear constraints on the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.checks import Index, floating, rows

Rows: TypeAlias = Tensor | Sequence[Sequence[float]]
Ends: TypeAlias = Tensor | Sequence[float]


@dataclass(frozen=True, eq=False)
class Property:
    """Violated where, in some group, every query of the group has `coefficients · y + offset <= 0`.

    coefficients: `(batch or 1, query, *output)`. offsets: `(batch or 1, query)`. groups: the number of each query's
    group; the violation is an OR over the groups of the AND inside each. Closed: a tie, equality, is a violation. So
    the property is proven where in every group some query is proven positive.
    """

    coefficients: Tensor
    offsets: Tensor
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(int(g) for g in self.groups))
        floating("coefficients", self.coefficients)
        floating("offsets", self.offsets)
        self._check_shapes()

    def _check_shapes(self) -> None:
        c, d = tuple(self.coefficients.shape), tuple(self.offsets.shape)
        fits = len(c) >= 3 and len(d) == 2 and c[1] == d[1] == len(self.groups) > 0
        if not fits or (c[0] != d[0] and 1 not in {c[0], d[0]}):
            expected = "(batch or 1, query, *output), (batch or 1, query) and a group for each of one query or more"
            raise InputError(f"`coefficients` {c}, `offsets` {d}, `groups` of {len(self.groups)}; expected {expected}")

    @staticmethod
    def forbid(disjuncts: Sequence[tuple[Rows, Ends]]) -> Property:
        """That no output satisfies `A y <= b` in all rows, for any of the pairs (A, b).

        A: `(rows, outputs)`. b: `(rows,)`. The general OR of ANDs, as VNN-LIB states unsafe outputs; pair k is group k.
        """
        if not disjuncts:
            raise InputError("`disjuncts` is empty, expected one pair (A, b) or more: nothing is forbidden")
        pairs = [_constraint(A, b) for A, b in disjuncts]
        outputs = [A.shape[1] for A, _ in pairs]
        if len(set(outputs)) > 1:
            raise InputError(f"`disjuncts` have {outputs} outputs, expected one number of outputs")
        groups = tuple(k for k, (A, _) in enumerate(pairs) for _ in A)
        return Property(torch.cat([A for A, _ in pairs])[None], -torch.cat([b for _, b in pairs])[None], groups)

    def __getitem__(self, index: Index) -> Property:
        """The same property for some examples."""
        index = rows(index)
        coefficients = self.coefficients if len(self.coefficients) == 1 else self.coefficients[index]
        offsets = self.offsets if len(self.offsets) == 1 else self.offsets[index]
        return Property(coefficients, offsets, self.groups)

    @property
    def batch(self) -> int:
        """For how many examples it is stated; 1 serves any number."""
        return max(len(self.coefficients), len(self.offsets))

    def values(self, outputs: Tensor) -> Tensor:
        """Every query's value at `outputs (batch, *output)`, in their type: `(batch, query)`."""
        if outputs.shape[1:] != self.coefficients.shape[2:] or self.batch not in (1, len(outputs)):
            expected = f"({'batch' if self.batch == 1 else self.batch}, *{tuple(self.coefficients.shape[2:])})"
            raise InputError(f"`outputs` have shape {tuple(outputs.shape)}, the property expects {expected}")
        c, y = self.coefficients.to(outputs).flatten(2), outputs.flatten(1)
        found = y @ c[0].T if len(c) == 1 else (c @ y.unsqueeze(2)).squeeze(2)
        return found + self.offsets.to(outputs)

    def worst(self, values: Tensor) -> Tensor:
        """The margin: the least, over the groups, of the largest of the group's values `(batch, query)`; `(batch,)`.

        Of values at a point: positive where the property holds there. Of proven lower bounds: positive where it is
        proven.
        """
        if values.ndim != 2 or values.shape[1] != len(self.groups):
            raise InputError(f"`values` have shape {tuple(values.shape)}, expected (batch, {len(self.groups)})")
        place = {group: at for at, group in enumerate(dict.fromkeys(self.groups))}
        column = torch.tensor([place[group] for group in self.groups], device=values.device)
        lowest = values.new_full((len(values), len(place)), -torch.inf)
        return lowest.scatter_reduce(1, column.expand(values.shape), values, "amax").amin(1)

    def violated(self, outputs: Tensor) -> Tensor:
        """Where the outputs violate the property, `(batch,)`; never where they are NaN."""
        return self.worst(self.values(outputs)) <= 0

    def proven(self, lower_bounds: Tensor) -> Tensor:
        """Where proven lower bounds of the queries, `(batch, query)`, prove the property, `(batch,)`; never by NaN."""
        return self.worst(lower_bounds) > 0


def linear_constraints(A: Rows, b: Ends) -> Property:
    """The property `A y < b` in every row, violated where some row has `A_i y >= b_i`: a tie violates.

    A: `(rows, outputs)`. b: `(rows,)`. Each row is a group of its own.
    """
    left, right = _constraint(A, b)
    return Property(-left.unsqueeze(0), right.unsqueeze(0), tuple(range(len(left))))


def _constraint(A: Rows, b: Ends) -> tuple[Tensor, Tensor]:
    """A and b as floating tensors of one type; numbers that are not tensors become float64."""
    given = [t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64) for t in (A, b)]
    left, right = (t if t.is_floating_point() else t.double() for t in given)
    if left.ndim != 2 or right.shape != left.shape[:1] or not left.numel():
        shapes = f"`A` is {tuple(left.shape)} and `b` {tuple(right.shape)}"
        raise InputError(f"{shapes}, expected (rows, outputs) and (rows,), not empty")
    kind = torch.promote_types(left.dtype, right.dtype)
    return left.to(kind), right.to(left.device, kind)
