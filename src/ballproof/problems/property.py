"""Properties, held as their violation: an OR of ANDs of linear constraints on the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.errors import InputError


@dataclass(frozen=True, eq=False)
class Property:
    """Violated where, in some group, every query of the group has `coefficients · y + offset <= 0`.

    coefficients: `(batch or 1, query, *output)`. offsets: `(batch or 1, query)`. groups: the number of each query's
    group; the violation is an OR over the groups of the AND inside each. Closed: equality violates. So the property
    is proven where in every group some query is proven positive.
    """

    coefficients: Tensor
    offsets: Tensor
    groups: tuple[int, ...]

    def __post_init__(self) -> None:
        queries = self.coefficients.shape[1] if self.coefficients.ndim > 2 else None  # noqa: PLR2004
        if queries is None or self.offsets.shape[-1] != queries or len(self.groups) != queries or not queries:
            shapes = f"{tuple(self.coefficients.shape)}, {tuple(self.offsets.shape)} and {len(self.groups)} groups"
            raise InputError(f"a property of {shapes}; expected (batch, query, *output), (batch, query) and query groups")
        if not bool(torch.isfinite(self.coefficients).all() & torch.isfinite(self.offsets).all()):
            raise InputError("`coefficients` or `offsets` of a property are NaN or infinite")

    def __getitem__(self, index: list[int] | Tensor | slice) -> Property:
        """The same property for some examples."""
        coefficients = self.coefficients if len(self.coefficients) == 1 else self.coefficients[index]
        offsets = self.offsets if len(self.offsets) == 1 else self.offsets[index]
        return Property(coefficients, offsets, self.groups)

    def values(self, outputs: Tensor) -> Tensor:
        """Every query's value at `outputs (batch, *output)`: `(batch, query)`."""
        rows = self.coefficients.to(outputs).flatten(2)
        y = outputs.flatten(1)
        found = y @ rows[0].T if len(rows) == 1 else (rows @ y.unsqueeze(2)).squeeze(2)
        return found + self.offsets.to(outputs)

    def worst(self, values: Tensor) -> Tensor:
        """The margin: the least, over the groups, of the largest value in the group; `(batch,)`.

        Of values at a point: positive where the property holds there. Of proven lower bounds: positive where it is proven.
        """
        groups = sorted(set(self.groups))
        columns = [torch.tensor([i for i, g in enumerate(self.groups) if g == k], device=values.device) for k in groups]
        return torch.stack([values.index_select(1, c).amax(1) for c in columns], 1).amin(1)

    def violated(self, outputs: Tensor) -> Tensor:
        """Where the outputs violate the property, `(batch,)`."""
        return self.worst(self.values(outputs)) <= 0

    def proven(self, lower_bounds: Tensor) -> Tensor:
        """Where proven lower bounds of the queries prove the property, `(batch,)`."""
        return self.worst(lower_bounds) > 0


def linear_constraints(A: Tensor | Sequence[Sequence[float]], b: Tensor | Sequence[float]) -> Property:
    """The property `A y < b` in every row, violated where some row has `A_i y >= b_i`. A: `(rows, outputs)`."""
    rows, ends = torch.as_tensor(A), torch.as_tensor(b)
    rows, ends = (t if t.is_floating_point() else t.double() for t in (rows, ends))
    if rows.ndim != 2 or ends.shape != rows.shape[:1]:  # noqa: PLR2004
        raise InputError(f"`A` is {tuple(rows.shape)} and `b` {tuple(ends.shape)}, expected (rows, outputs) and (rows,)")
    return Property(-rows.unsqueeze(0), ends.unsqueeze(0).to(rows.dtype), tuple(range(len(rows))))
