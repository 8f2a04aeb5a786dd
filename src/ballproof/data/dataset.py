"""`Dataset`: inputs in [0, 1] with labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.data.splits import stratified
from ballproof.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """inputs: `(n, *shape)` float32 in `range`; labels: `(n,)` in 0 .. classes - 1; indices: places in the original.

    classes_given: whether `classes` is known, and not merely the highest label that was seen plus one.
    note: what is worth knowing about the files, for instance that they are not the published ones; else empty.
    Anything that breaks these promises (NaN, another range, a label out of range) raises `InputError`.
    """

    inputs: Tensor
    labels: Tensor
    name: str
    split: str
    classes: int
    indices: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    note: str = ""
    classes_given: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not self.indices.numel():
            object.__setattr__(self, "indices", torch.arange(len(self.labels)))
        if not len(self.inputs) == len(self.labels) == len(self.indices):
            counts = f"{len(self.inputs)} inputs, {len(self.labels)} labels and {len(self.indices)} indices"
            raise InputError(f"{self.name}: {counts}, expected as many of each")
        check_inputs(self.inputs, self.name)
        check_labels(self.labels, self.classes, self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.inputs.shape[1:])

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, chosen: Sequence[int] | Tensor) -> Dataset:
        """The examples at these places, in this order; or, for a mask of n booleans, those where it is true."""
        index = torch.as_tensor(chosen)
        if index.dtype == torch.bool:
            index = self._mask(index)
        if index.is_floating_point() and index.numel():
            raise InputError(f"{self.name}: `chosen` holds {index.dtype}, expected integers or a mask of booleans")
        index = index.long()
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise InputError(f"{self.name}: `chosen` holds {int(index.min())}..{int(index.max())}, expected 0..{len(self) - 1}")
        return replace(self, inputs=self.inputs[index], labels=self.labels[index], indices=self.indices[index])

    def _mask(self, mask: Tensor) -> Tensor:
        if mask.shape != self.labels.shape:
            raise InputError(f"{self.name}: a mask of shape {tuple(mask.shape)}, expected ({len(self)},)")
        return mask.nonzero().flatten()

    def batches(
        self, size: int, generator: torch.Generator | None = None, drop_last: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels, `size` at a time: in order, or shuffled by `generator` alone, which must be on the CPU.

        The last batch may be smaller; `drop_last` leaves such a one out.
        """
        if size < 1:
            raise InputError(f"`size` of a batch is {size}, expected at least 1")
        order = None if generator is None else torch.randperm(len(self), generator=generator)
        return self._batches(size, order, len(self) - len(self) % size if drop_last else len(self))

    def _batches(self, size: int, order: Tensor | None, stop: int) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, stop, size):
            part = slice(start, start + size) if order is None else order[start : start + size]
            yield self.inputs[part], self.labels[part]

    def validation_split(self, share: float, seed: int) -> tuple[Dataset, Dataset]:
        """(training part, held-out part named `validation`), chosen by the seed alone, every class in proportion.

        share: of the examples, strictly between 0 and 1, if a float; a number of examples if an int. Both keep the order.
        """
        if isinstance(share, bool) or not 0 < share < (len(self) if isinstance(share, int) else 1):
            raise InputError(f"{self.name}: `share` is {share}, expected between 0 and 1, or a number below {len(self)}")
        held = stratified(self.labels, share, seed)
        if not bool(held.any()) or bool(held.all()):
            raise InputError(f"{self.name}: a share of {share} of {len(self)} examples leaves no split")
        return self.subset(~held), replace(self.subset(held), split="validation")


def check_inputs(inputs: Tensor, name: str) -> None:
    """Inputs must be float32, finite and in [0, 1]; what to do about it is said."""
    if inputs.dtype != torch.float32 or inputs.ndim < 2:
        raise InputError(f"{name}: inputs are {inputs.dtype} of shape {tuple(inputs.shape)}, expected float32 (n, *shape)")
    if not bool(torch.isfinite(inputs).all()):
        raise InputError(f"{name}: inputs hold NaN or infinities")
    low, high = Dataset.range
    if inputs.numel() and (float(inputs.min()) < low or float(inputs.max()) > high):
        ends = f"[{float(inputs.min()):.4g}, {float(inputs.max()):.4g}]"
        told = "scale them (bytes: divide by 255), and make any normalisation the model's first layer"
        raise InputError(f"{name}: inputs lie in {ends}, expected [0, 1]; {told}")


def check_labels(labels: Tensor, classes: int, name: str) -> None:
    """Labels must be int64 in 0 .. classes - 1, of at least two classes."""
    if labels.dtype != torch.int64 or labels.ndim != 1:
        raise InputError(f"{name}: labels are {labels.dtype} of shape {tuple(labels.shape)}, expected int64 (n,)")
    if classes < 2:
        raise InputError(f"{name}: `classes` is {classes}, expected at least 2")
    bad = ((labels < 0) | (labels >= classes)).nonzero().flatten()
    if bad.numel():
        at = int(bad[0])
        raise InputError(f"{name}: label {int(labels[at])} of example {at} is not in 0..{classes - 1}")
