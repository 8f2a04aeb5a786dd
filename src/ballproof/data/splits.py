"""Which examples to hold out: a seed's choice with every class in proportion."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified(labels: Tensor, share: float, seed: int) -> Tensor:
    """A mask `(n,)` of the held-out examples; it depends on the labels, the share and the seed alone.

    A float holds out that share of each class, rounded; an int exactly that many examples, the classes' numbers
    within one of proportion (largest remainders, the lower label first among equals).
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = labels.unique().tolist()
    members = {label: (labels == label).nonzero().flatten() for label in kinds}
    sizes = [len(members[label]) for label in kinds]
    counts = _apportioned(sizes, share) if isinstance(share, int) else [round(share * size) for size in sizes]
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in zip(kinds, counts, strict=True):
        own = members[label]
        held[own[torch.randperm(len(own), generator=generator)[:count]]] = True
    return held


def _apportioned(sizes: list[int], count: int) -> list[int]:
    """`count` seats in proportion to the sizes: whole quotas, then one each to the largest remainders."""
    total = sum(sizes)
    seats = [count * size // total for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: -(count * sizes[i] % total))
    for i in by_remainder[: count - sum(seats)]:
        seats[i] += 1
    return seats
