"""`Dataset`: inputs in [0, 1] with labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ballproof.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """inputs: `(n, *shape)` float32 in [0, 1]; labels: `(n,)` in 0 .. classes - 1; indices: places in the original.

    note: what is worth knowing about the files, for instance that they are not the published ones.
    """

    inputs: Tensor
    labels: Tensor
    name: str
    split: str
    classes: int
    indices: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise InputError(f"{self.name}: {len(self.inputs)} inputs but {len(self.labels)} labels")
        if len(self.indices) != len(self.labels):
            object.__setattr__(self, "indices", torch.arange(len(self.labels)))
        check_inputs(self.inputs, self.name)
        bad = ((self.labels < 0) | (self.labels >= self.classes)).nonzero().flatten()
        if bad.numel():
            at = int(bad[0])
            raise InputError(f"{self.name}: label {int(self.labels[at])} of example {at} is not in 0..{self.classes - 1}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.inputs.shape[1:])

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, chosen: Sequence[int] | Tensor) -> Dataset:
        """The examples at these places, in this order."""
        index = torch.as_tensor(chosen, dtype=torch.long)
        return replace(self, inputs=self.inputs[index], labels=self.labels[index], indices=self.indices[index])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.inputs[start : start + size], self.labels[start : start + size]

    def validation_split(self, share: float, seed: int) -> tuple[Dataset, Dataset]:
        """(training part, held-out part): the same share of every class is held out, chosen by the seed alone."""
        generator = torch.Generator().manual_seed(seed)
        held = []
        for label in range(self.classes):
            own = (self.labels == label).nonzero().flatten()
            order = own[torch.randperm(len(own), generator=generator)]
            held.append(order[: round(share * len(own))])
        out = torch.zeros(len(self), dtype=torch.bool)
        out[torch.cat(held)] = True
        if not bool(out.any()) or bool(out.all()):
            raise InputError(f"{self.name}: a share of {share} of {len(self)} examples leaves no split")
        return self.subset((~out).nonzero().flatten()), self.subset(out.nonzero().flatten())


def check_inputs(inputs: Tensor, name: str) -> None:
    """Inputs must be finite and in [0, 1]; what to do about it is said."""
    if not bool(torch.isfinite(inputs).all()):
        raise InputError(f"{name}: inputs hold NaN or infinities")
    if inputs.numel() and (float(inputs.min()) < 0 or float(inputs.max()) > 1):
        ends = f"[{float(inputs.min()):.4g}, {float(inputs.max()):.4g}]"
        told = "scale them, and make any normalisation the model's first layer"
        raise InputError(f"{name}: inputs lie in {ends}, expected [0, 1]; {told}")
