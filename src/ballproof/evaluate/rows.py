"""Rows of a table, a batch at a time: kept in a run folder as they come, and never computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.graph import Graph
from ballproof.runs import Run

ROWS = "rows.jsonl"

Batches = Dataset | Iterable[tuple[Tensor, Tensor]]
Rows = list[dict[str, Any]]


def collected(
    rows_of: Callable[[Tensor, Tensor, list[int]], Rows],
    data: Batches,
    size: int,
    run: Run | None,
    watch: Callable[[int], None],
) -> Rows:
    """One row an example, in the order of the data: those that the run has, then `rows_of(x, y, index)` of the others."""
    rows = list(run.rows(ROWS)) if run else []
    for x, y, index in _batches(data, size, len(rows)):
        fresh = rows_of(x, y, index)
        if run:
            run.append(ROWS, fresh)
        rows += fresh
        watch(len(rows))
    return rows


def _batches(data: Batches, size: int, skip: int) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Batches with the original index of each example, without the first `skip` examples."""
    if isinstance(data, Dataset):
        for start in range(skip, len(data.labels), size):
            part = slice(start, start + size)
            yield data.inputs[part], data.labels[part], data.indices[part].tolist()
        return
    seen = 0
    for x, y in data:
        fresh = max(0, min(len(y), skip - seen))
        index = list(range(seen + fresh, seen + len(y)))
        seen += len(y)
        for start in range(fresh, len(y), size):
            part = slice(start, start + size)
            yield x[part], y[part], index[start - fresh : start - fresh + size]


@contextmanager
def evaluating(*networks: nn.Module | Graph) -> Iterator[None]:
    """Evaluation mode inside, the former modes after."""
    modules = [n for n in networks if isinstance(n, nn.Module)]
    former = [m.training for m in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, former, strict=True):
            module.train(mode)
