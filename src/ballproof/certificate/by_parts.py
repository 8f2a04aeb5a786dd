"""New ends of single neurons that the checker accepts: the box is split at such an end, and one half of it is refuted.

The half is refuted as the search has found the end: by splits of earlier neurons, and a bound of the neuron in each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from ballproof.certificate.checker.neurons import Cell
from ballproof.graph import Graph
from ballproof.solve.leaves import Site
from ballproof.solve.neurons import lines_of
from ballproof.solve.refinement import Ends, Refinement, known_with
from ballproof.values import Interval

if TYPE_CHECKING:
    from ballproof.certificate.by_neurons import Written

MARGIN = 1e-6
"""Of its size: by how much less than an end the half of the box reaches, as it is told in other sums."""

PARTS = 64
"""Of the box for each end, on the mean of a layer, as each has a line in the proof."""

LEAST = 0.02
"""The share of a neuron's width that a new end has to take off to be written, unless it settles the neuron."""


class Accepted(Refinement):
    """A refinement whose ends stand in a proof. shared: the number of the cell of all groups that is left of the box."""

    parts = PARTS

    def __init__(self, search: Written) -> None:
        super().__init__(search.task.graph, search.task.region, search.known, lines_of)
        self.search, self.shared = search, search.begun_for_all()

    def _before(self, site: Site) -> tuple[Graph, dict[str, Interval]]:
        return self.graph.until(site.argument), self.intervals

    def _told(self, ends: Ends, known: Interval) -> Interval:
        search, places = self.search, self.search.where(ends.site)
        words = search.words(ends.leaves, ends.bounds.sites, ["0"] * len(ends.leaves))
        texts = dict(zip(ends.leaves.cell.tolist(), words, strict=True))
        cuts = [place for site in ends.bounds.sites for place in search.where(site)]
        for group in range(2 * len(places)):
            if search.clock.over:
                break
            bend, unit = places[group % len(places)]
            self._end(_Part(ends, group, cuts, texts), (bend, unit, 1 if group < len(places) else -1))
        low, high = (torch.from_numpy(e.copy()) for e in self._cell.ends[places[0][0]])
        units = torch.tensor([unit for _, unit in places])
        return known_with(known, ends.site.places, low[units], high[units])

    @property
    def _cell(self) -> Cell:
        cell: Cell = self.search.checked.open[self.shared]
        return cell

    def _end(self, part: _Part, aim: tuple[int, int, int]) -> None:
        """Writes the end of a neuron, if it is worth that. aim: rectifier, unit and side of the argument."""
        bend, unit, side = aim
        low, high = (float(e[unit]) for e in self._cell.ends[bend])
        if low >= 0 or high <= 0:
            return
        least = self.search.least(list(part.leaves(self._cell)), aim)
        least -= MARGIN * (abs(least) + high - low)
        if not (least > 0 or least - (low if side > 0 else -high) > LEAST * (high - low)):
            return
        first = self.search.checked.count
        self.search.tell(f"n {self.shared} {bend} {unit} {(side * least).hex()}")
        half, self.shared = (first, first + 1) if side > 0 else (first + 1, first)
        self._refute(part, half, f"{bend} {unit} {float(side).hex()}")

    def _refute(self, part: _Part, half: int, multiplier: str) -> None:
        """By the lines of its parts."""
        stack = [(part.group, half)]
        while stack:
            number, cell = stack.pop()
            if number in part.ends.cells:
                column, at, *halves = part.ends.cells[number]
                first = self.search.checked.count
                self.search.tell("n {} {} {} {}".format(cell, *part.cuts[column], at.hex()))
                stack += zip(halves, (first, first + 1), strict=True)
            else:
                self.search.close(cell, f"{part.texts[number]} {multiplier}")


class _Part:
    """How the region was cut for one end. cuts: rectifier and unit of each neuron. texts: by the number of a part."""

    def __init__(self, ends: Ends, group: int, cuts: list[tuple[int, int]], texts: dict[int, str]) -> None:
        self.ends, self.group, self.cuts, self.texts = ends, group, cuts, texts

    def leaves(self, whole: Cell) -> Iterator[tuple[Cell, str]]:
        """The parts that are not cut again, as parts of this cell, each with its words."""
        stack = [(self.group, whole)]
        while stack:
            number, cell = stack.pop()
            if number not in self.ends.cells:
                yield cell, self.texts[number]
                continue
            column, at, *halves = self.ends.cells[number]
            bend, unit = self.cuts[column]
            for half, side in zip(halves, (-1, 1), strict=True):
                stack.append((half, Cell(cell.group, cell.cut(bend, {(unit, side): at}))))
