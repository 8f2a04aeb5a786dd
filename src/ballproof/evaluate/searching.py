"""A search for each example that cheap bounds leave open: first many at once, then each alone, the hardest first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from ballproof.bounds.memory import divided_memory
from ballproof.certificate.rigorous import Rigorous
from ballproof.data import Dataset
from ballproof.evaluate.certify import Bounding, CertifySettings, confirmed
from ballproof.evaluate.rows import Batches, Examples, Kept, OfNetwork, Order
from ballproof.evaluate.staged import searched
from ballproof.graph import Graph
from ballproof.problems import ball
from ballproof.runs import Run
from ballproof.spread import BARRIER, Barrier, Row, Rows, Workers, spread

OPEN = "open.jsonl"
"""Rows of the examples that wait for their search."""

READING = 30.0
"""Seconds that a worker may take to read the network, before its first search."""


@dataclass(frozen=True, eq=False)
class Open:
    """One example, and the row that the bounds left it."""

    example: Examples
    row: Row


@dataclass(frozen=True, eq=False)
class Searching(OfNetwork[Examples | Open]):
    """Bounds for some examples together; a search of `limit_each` seconds for one that they left open."""

    network: nn.Module | Graph
    settings: CertifySettings
    rigorous: Rigorous | None = None

    @property
    def _bounds(self) -> Bounding:
        return Bounding(self.network, self.settings, self.rigorous)

    def rows(self, item: Examples | Open) -> Rows:
        if isinstance(item, Examples):
            return self._bounds.rows(item)
        started, one, asked = time.perf_counter(), item.example, self.settings
        region = ball(asked.norm, one.x, asked.eps, asked.clip)
        with divided_memory(one.parts):
            verdict = searched(self.network, region, one.y, str(asked.method), asked.limit_each)
        row: Row = {**item.row, "reason": verdict.reason}
        if verdict.falsified:
            row |= {"attacked": True, "by": asked.method}
        if verdict.verified:
            row |= self._certified(item)
        return [{**row, "seconds": item.row["seconds"] + time.perf_counter() - started}]

    def _certified(self, item: Open) -> Row:
        one, margins = item.example, [max(m, 0.0) for m in item.row["margins"]]
        kept = bool(confirmed(self.rigorous, one.x, one.y, one.index, torch.tensor([True]))[0])
        told: Row = {"certified": kept, "by": self.settings.method if kept else "", "reason": "" if kept else "rounding"}
        return told | {"margins": margins, "margin": min(margins), **({"lost": not kept} if self.rigorous else {})}

    def smaller(self, item: Examples | Open) -> list[Examples | Open]:
        if isinstance(item, Examples):
            return [*item.smaller()]
        return [replace(item, example=one) for one in item.example.smaller()]

    def given_up(self, item: Examples | Open, reason: str) -> Rows:
        return self._bounds.given_up(item, reason) if isinstance(item, Examples) else [{**item.row, "reason": reason}]

    def seconds(self, item: Examples | Open) -> float:
        if isinstance(item, Examples):
            return math.inf
        return READING + self.settings.limit_each * (3 if self.rigorous else 1)


def by_search(
    network: nn.Module | Graph,
    data: Batches,
    settings: CertifySettings,
    run: Run | None,
    watch: Callable[[int], None],
    rigorous: Rigorous | None,
    workers: Workers,
) -> Sequence[Row]:
    """One row an example, in the order of the data. A row is there when its example is decided or its search has ended."""
    if not isinstance(data, Dataset):
        data = _whole(data)
    rows, waiting, order = Kept(run), Kept(run, OPEN), Order(data)

    def items() -> Iterator[Examples | Open | Barrier]:
        yield from order.missing(settings.batch, rows, waiting)
        yield BARRIER
        yield from hardest_first(data, rows, waiting)

    for item, found in spread(Searching(network, settings, rigorous), items(), workers):
        left = [row for row in found if isinstance(item, Examples) and row["reason"] == "gap"]
        waiting.add([row for row in left if row["index"] not in rows])
        rows.add([row for row in found if row not in left])
        watch(len(rows))
    return rows.at(order.index)


def hardest_first(data: Dataset, rows: Kept, waiting: Kept) -> Iterator[Open]:
    """The examples without a row, those with the lowest bound first: their searches are likely to take longest."""
    places = {index: place for place, index in enumerate(data.indices.tolist()) if index in waiting and index not in rows}
    left = waiting.at(places)
    for _, index, at in sorted((row["margin"], row["index"], at) for at, row in enumerate(left)):
        yield Open(_example(data, places[index]), left[at])


def _example(data: Dataset, place: int) -> Examples:
    part = slice(place, place + 1)
    return Examples(data.inputs[part], data.labels[part], data.indices[part].tolist(), place)


def _whole(data: Batches) -> Dataset:
    """The examples of a loader: they are wanted a second time."""
    assert not isinstance(data, Dataset)
    parts = list(data)
    inputs, labels = (torch.cat(p) for p in zip(*parts, strict=True))
    return _Loaded(inputs, labels, "loader", "", int(labels.max()) + 1)


class _Loaded(Dataset):
    """Inputs as they came: their range is the caller's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", torch.arange(len(self.labels)))
