"""`classified_as(y)`: the property that a classifier's answer is y."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ballproof.errors import InputError
from ballproof.problems.checks import Index, extremes, rows
from ballproof.problems.property import Property

FEW = 64
"""Classes up to which the margins of every label are kept: 1 MiB."""


@dataclass(frozen=True, eq=False)
class Label:
    """That logit y exceeds every other logit; a tie violates. labels: `(batch,)`, or one that serves any number.

    It becomes a `Property` once the number of classes is known, which the network says.
    """

    labels: Tensor

    def __getitem__(self, index: Index) -> Label:
        index = rows(index)
        return self if len(self.labels) == 1 else Label(self.labels[index])

    def of(self, classes: int) -> Tensor:
        """The labels, `(batch or 1,)`, each one of these classes."""
        if classes < 2:
            raise InputError(f"labels need a network with 2 outputs or more, this has {classes}")
        y = self.labels
        low, high = extremes(y)
        if not 0 <= low <= high < classes:
            at = int(((y < 0) | (y >= classes)).nonzero()[0])
            raise InputError(f"`labels` holds {int(y[at])} in example {at}, expected 0 to {classes - 1}")
        return y

    def property(self, classes: int) -> Property:
        """The margins, one group for each wrong class in order."""
        margins = self.margins(classes)
        return Property(margins, margins.new_zeros(1, classes - 1), tuple(range(classes - 1)))

    def margins(self, classes: int) -> Tensor:
        """c = e_y - e_j for each wrong class j in order, `(batch, classes - 1, classes)`; float32 holds them exactly."""
        y, kind = self.of(classes), torch.get_default_dtype()
        return _margins_of_every(classes, y.device, kind).index_select(0, y) if classes <= FEW else _margins(y, classes, kind)


def _margins(y: Tensor, classes: int, kind: torch.dtype) -> Tensor:
    own, other = y.unsqueeze(1), torch.arange(classes - 1, device=y.device)
    margins = torch.zeros(len(y), classes - 1, classes, dtype=kind, device=y.device)
    margins.scatter_(2, (other + (other >= own)).unsqueeze(2), -1.0)
    return margins.scatter_(2, own.unsqueeze(2).expand(-1, classes - 1, 1), 1.0)


@lru_cache(maxsize=8)
def _margins_of_every(classes: int, device: torch.device, kind: torch.dtype) -> Tensor:
    """Those of every label, made once for a number of classes; only copies are given out."""
    with torch.inference_mode(False):
        return _margins(torch.arange(classes, device=device), classes, kind)


def classified_as(labels: int | Tensor | list[int]) -> Label:
    """The property that the network answers `labels`: an int for all, or one for each example, `(batch,)`."""
    y = torch.as_tensor(labels)
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool or y.ndim > 1:
        raise InputError(f"`labels` are {y.dtype} of shape {tuple(y.shape)}, expected integers (batch,)")
    return Label(y.reshape(-1).long())
