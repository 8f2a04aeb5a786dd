"""Rows of a table, an item of examples at a time: kept in a run folder as they come, and never computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ballproof.data import Dataset
from ballproof.graph import Graph
from ballproof.networks.cache import readings_of, remember
from ballproof.runs import Run
from ballproof.spread import HERE, Row, Rows, Work, Workers, spread
from ballproof.spread.work import Item

ROWS = "rows.jsonl"

Batches = Dataset | Iterable[tuple[Tensor, Tensor]]

LEAST_MEMORY = 64
"""An example alone is tried with memory down to this part of the budget; what needs more is given up."""


@dataclass(frozen=True, eq=False)
class Examples:
    """An item: inputs `x (batch, *input)`, labels `y (batch,)`, their `index` in the data, `place` of the first among all.

    parts: by how much the memory for bounds is divided. Which examples go together depends on the data and the size alone, so
    sums are rounded alike whoever computes them, and whatever was there before.
    """

    x: Tensor
    y: Tensor
    index: list[int]
    place: int = 0
    parts: int = 1

    def smaller(self) -> list[Examples]:
        """Two halves with half of the memory each; an example alone with an eighth; none below `LEAST_MEMORY`."""
        half = len(self.index) // 2
        if half:
            return [self._part(slice(0, half)), self._part(slice(half, None))]
        return [replace(self, parts=8 * self.parts)] if self.parts < LEAST_MEMORY else []

    def _part(self, part: slice) -> Examples:
        place = self.place + (part.start or 0)
        return Examples(self.x[part], self.y[part], self.index[part], place, min(2 * self.parts, LEAST_MEMORY))


class OfNetwork(Work[Item]):
    """Work whose `network` is sent with what was read of it, so that no worker reads it again."""

    network: nn.Module | Graph

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "readings": readings_of(self.network)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        readings = state.pop("readings")
        vars(self).update(state)
        remember(self.network, readings)


@dataclass(frozen=True)
class ByFunction(Work[Examples]):
    """`rows_of(x, y, index)`, for tables that one process makes. What memory runs out on is an error."""

    rows_of: Callable[[Tensor, Tensor, list[int]], Rows]

    def rows(self, item: Examples) -> Rows:
        return self.rows_of(item.x, item.y, item.index)

    def smaller(self, item: Examples) -> list[Examples]:
        return item.smaller()

    def given_up(self, item: Examples, reason: str) -> Rows:
        raise MemoryError(f"example {item.index[0]}: {reason}")


class Kept:
    """The rows that are there, in the run's journal if there is a run, by the index of their example."""

    def __init__(self, run: Run | None, name: str = ROWS) -> None:
        self.run, self.name, self._own = run, name, Rows()
        self._place = {int(row["index"]): place for place, row in enumerate(self._rows())}

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, index: int) -> bool:
        return index in self._place

    def add(self, rows: Rows) -> None:
        """Those that are not there yet, flushed to the disk when this returns."""
        fresh = [row for row in rows if row["index"] not in self]
        if self.run:
            self.run.append(self.name, fresh)
        else:
            self._own += fresh
        for row in fresh:
            self._place[row["index"]] = len(self._place)

    def at(self, index: Iterable[int]) -> Sequence[Row]:
        """Their rows, in this order."""
        places = [self._place[i] for i in index]
        return self.run.rows(self.name).at(places) if self.run else [self._own[p] for p in places]

    def _rows(self) -> Sequence[Row]:
        return self.run.rows(self.name) if self.run else self._own


def collected(
    work: Work[Examples],
    data: Batches,
    size: int,
    run: Run | None,
    watch: Callable[[int], None] = lambda done: None,
    workers: Workers = HERE,
) -> Sequence[Row]:
    """One row an example, in the order of the data: those that the run has, then those of the work on the others."""
    kept, order = Kept(run), Order(data)
    for _, rows in spread(work, order.missing(size, kept), workers):
        kept.add(rows)
        watch(len(kept))
    return kept.at(order.index)


class Order:
    """The examples of a data set or a loader, and, once all were drawn, their order."""

    def __init__(self, data: Batches) -> None:
        self.data = data
        self.index: list[int] = data.indices.tolist() if isinstance(data, Dataset) else []

    def missing(self, size: int, *kept: Kept) -> Iterator[Examples]:
        """Items of `size` examples, whole ones, but without those whose rows are all there."""
        for item in self._items(size):
            if not all(any(i in k for k in kept) for i in item.index):
                yield item

    def _items(self, size: int) -> Iterator[Examples]:
        if isinstance(self.data, Dataset):
            for start in range(0, len(self.index), size):
                part = slice(start, start + size)
                yield Examples(self.data.inputs[part], self.data.labels[part], self.index[part], start)
            return
        for x, y in self.data:
            first = len(self.index)
            self.index += range(first, first + len(y))
            for start in range(0, len(y), size):
                part = slice(start, start + size)
                own = list(range(first, first + len(y)))[part]
                yield Examples(x[part], y[part], own, first + start)


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
