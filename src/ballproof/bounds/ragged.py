"""Products for examples that need different numbers of queries and units: what only fills up is left out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

LEAST = 2**20
"""Multiplications of a part of the batch at least: smaller ones cost more in calls than they leave out."""


def reach(wanted: Tensor) -> list[int]:
    """Of each example, the number of places up to the last one where `wanted (batch, n)` holds."""
    place = torch.arange(1, wanted.shape[1] + 1, device=wanted.device)
    return (wanted * place).amax(1).tolist() if wanted.shape[1] else [0] * len(wanted)


def products(queries: Tensor, matrices: Tensor, counts: list[int], terms: list[int]) -> Tensor:
    """`(batch, query, n) @ (batch, n, m)` of the first `counts` queries of each example; the others may be zero.

    terms: numbers of each example that have to be added up; the others are zero.
    """
    found = queries.new_empty(*queries.shape[:2], matrices.shape[2])
    for part in _parts(queries, matrices):
        count, most = max(counts[part]), max(terms[part])
        torch.bmm(queries[part, :count, :most], matrices[part, :most], out=found[part, :count])
        found[part, count:] = 0
    return found


def add_products(onto: Tensor, queries: Tensor, matrices: Tensor, terms: list[int]) -> None:
    """Adds the products of all queries."""
    for part in _parts(queries, matrices):
        most = max(terms[part])
        onto[part].baddbmm_(queries[part, :, :most], matrices[part, :most])


def _parts(queries: Tensor, matrices: Tensor) -> Iterator[slice]:
    """Of the batch, each of as many examples as there are threads or more; on other devices than a CPU the whole."""
    batch, work = len(queries), queries.shape[1] * matrices[0].numel()
    step = max(torch.get_num_threads(), LEAST // max(work, 1)) if queries.device.type == "cpu" else batch
    return (slice(first, first + step) for first in range(0, batch, step))
