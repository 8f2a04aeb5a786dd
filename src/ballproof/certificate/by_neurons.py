"""Proofs that split neurons: the engine `neurons` searches on the checker's own intervals, and each step becomes a line.

What the engine knows of a leaf, slopes and multipliers, is rounded to few digits and evaluated by the checker. A leaf that
fails stays open and is split further; an interval is what the checker makes of it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ballproof.certificate.by_parts import Accepted
from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.network import Network, Part, Root
from ballproof.certificate.checker.neurons import BATCH, FIRST, LEVELS, Cell, Cells, values
from ballproof.certificate.checker.rounded import Bounds
from ballproof.graph import Graph, Node
from ballproof.graph.prune import without_units
from ballproof.networks.onnx_file import read_onnx
from ballproof.operations import Nonlinear, Operation, Role
from ballproof.operations.arithmetic import Add
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.problems import Box, Property
from ballproof.solve.clock import Answer, Clock, Task
from ballproof.solve.leaf_bounds import Evaluation, LeafBounds
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.neurons import STEPS_LAST, NeuronSplitting
from ballproof.solve.violated import Violated
from ballproof.values import Interval

Array = np.ndarray[Any, np.dtype[Any]]
Emit = Callable[[str], None]

LARGEST = 2**24
"""Numbers of all layers as matrices; 128 MiB."""

GUARD, DIGITS = 1.25, 1e-7
"""What a leaf has to prove beyond zero: this share of what float32 costs the rows at the root, and of the rows themselves."""

TRIES = 4
"""How often a leaf without a neuron to split gets ever more steps."""


class ViolatedError(RefusedError):
    """There is nothing to prove."""


def proven_by_neurons(
    network: Network, graph: Graph, root: Root, arithmetic: Arithmetic, seconds: float, emit: Emit, narrow: bool = True
) -> bool:
    """Whether a proof of this box that the checker accepts was found in time; its lines are emitted during the search.

    narrow: with intervals of parts of the box; else splits alone. Raises `ViolatedError` where a point violates the property.
    """
    clock = Clock(seconds)
    try:
        bounds = Bounds(network, root.low[None], root.high[None], arithmetic)
        answer = Written(bounds, graph, root, clock, emit, narrow).run(clock)
    except RefusedError:  # numbers overflow on the whole box, or too many parts of it are open
        return False
    if answer.counterexample is not None:
        raise ViolatedError("a point of the box violates the property in double precision")
    return answer.proven


def graph_of(network: Network, path: Path | None) -> Graph | None:
    """The checker's network as a graph that neurons can be split in; None where it has none with the checker's rectifiers.

    path: of the file, whose own graph is taken where the layers are too large as matrices.
    """
    return in_matrices(network) or (None if path is None else own_graph(network, path))


def own_graph(network: Network, path: Path) -> Graph | None:
    """The file's graph in double precision; None where its rectifiers are not those of the checker, one by one."""
    graph = read_onnx(path).to(dtype=torch.float64)
    bends = [n for n in graph.varying if isinstance(n.operation, Nonlinear)]
    sizes = [n.size for n in network.nodes if n.kind == "Relu"]
    fits = all(isinstance(n.operation, Relu) for n in bends) and [math.prod(n.shape) for n in bends] == sizes
    return graph if fits and all(n.kind in ("input", "affine", "Relu") for n in network.nodes) else None


def in_matrices(network: Network) -> Graph | None:
    """The checker's network as a graph of matrices, node by node; None where it bends otherwise or is too large."""
    nodes = network.nodes
    size = sum(n.size * p.size for n in nodes if n.kind == "affine" for p in n.parts)
    if any(n.kind not in ("input", "affine", "Relu") for n in nodes) or size > LARGEST:
        return None
    made = _Matrices(nodes[0].size)
    for place, node in enumerate(nodes[1:], 1):
        if node.kind == "Relu":
            (part,) = node.parts
            argument = made.taken(f"{place}.argument", made.names[part.source], part.places.ravel(), part.size)
            made.add(f"{place}", Relu(), (argument,), node.size)
        else:
            made.affine(f"{place}", node.parts, node.bias)
        made.names.append(f"{place}")
    view = network.output
    return made.graph(made.taken("output", made.names[view.node], view.index.ravel(), nodes[view.node].size))


class _Matrices:
    """A graph that is being made."""

    def __init__(self, inputs: int) -> None:
        self.nodes, self.names = [Node("0", None, (), (inputs,), Role.INPUT)], ["0"]
        self.given: dict[str, Tensor] = {}

    def graph(self, output: str) -> Graph:
        return Graph(tuple(self.nodes), "0", output, self.given)

    def add(self, name: str, operation: Operation, inputs: tuple[str, ...], size: int) -> str:
        role = Role.NONLINEAR if isinstance(operation, Nonlinear) else Role.AFFINE
        self.nodes.append(Node(name, operation, inputs, (size,), role))
        return name

    def linear(self, name: str, source: str, matrix: Array, bias: Array) -> str:
        for end, value in (("weight", matrix), ("bias", bias)):
            self.given[f"{name}.{end}"] = torch.from_numpy(np.array(value, np.float64))
            self.nodes.append(Node(f"{name}.{end}", None, (), tuple(value.shape), Role.CONSTANT))
        return self.add(name, Linear(), (source, f"{name}.weight", f"{name}.bias"), len(matrix))

    def affine(self, name: str, parts: tuple[Part, ...], bias: Array) -> None:
        """The sum of the parts and the bias, one matrix for each source."""
        matrices: dict[int, Array] = {}
        for part in parts:
            matrices[part.source] = matrices.get(part.source, 0) + part.pulled(np.eye(len(bias)))
        total = ""
        for k, (source, matrix) in enumerate(matrices.items()):
            own = name if len(matrices) == 1 else f"{name}.{k}"
            found = self.linear(own, self.names[source], matrix, 0 * bias if k else bias)
            last = k == len(matrices) - 1
            total = self.add(name if last else f"{name}.to{k}", Add(), (total, found), len(bias)) if total else found

    def taken(self, name: str, source: str, take: Array, size: int) -> str:
        """These numbers of a node."""
        if len(take) == size and bool((take == np.arange(size)).all()):
            return source
        return self.linear(name, source, (take[:, None] == np.arange(size)).astype(np.float64), np.zeros(len(take)))


class Written(NeuronSplitting):
    """The search on the checker's intervals, with a margin for rounding, that writes down what the checker has accepted."""

    refining = (0.4,)

    def __init__(self, bounds: Bounds, graph: Graph, root: Root, clock: Clock, emit: Emit, narrow: bool) -> None:
        self.checked, self.emit, self.narrow = Cells(bounds, root.question), emit, narrow
        nodes = [n for n in graph.varying if isinstance(n.operation, Nonlinear)]
        self.bends = {n.name: number for number, n in enumerate(nodes)}
        known = _intervals(nodes, bounds)
        zero = {n: ((known[n].lower == 0) & (known[n].upper == 0)).flatten() for n in self.bends}
        graph, self.kept = without_units(graph, zero)
        known = {n: i if (k := self.kept.get(n)) is None else Interval(i.lower[:, k], i.upper[:, k]) for n, i in known.items()}
        rows = torch.from_numpy(root.question.rows.copy()).reshape(1, -1, *graph.output_shape)
        ends = torch.from_numpy(root.question.offsets - _guard(bounds, root))[None]
        groups = tuple(int(g) for g in root.question.groups)
        region = Box(*(torch.from_numpy(e).reshape(1, *graph.input_shape) for e in (root.low, root.high)))
        asked = Property(rows, torch.from_numpy(root.question.offsets)[None], groups)

        def confirm(points: Tensor) -> Tensor | None:
            bad = asked.violated(graph(points)).nonzero().flatten()
            return points[bad[0]] if len(bad) else None

        super().__init__(Task(graph, region, Property(rows, ends, groups), confirm, clock), known)

    def _again(self, stack: list[tuple[Leaves, Evaluation]]) -> Answer | None:
        if self.narrow:
            return super()._again(stack)
        self.wide = None
        return None

    def _refined(self, clock: Clock) -> dict[str, Interval]:
        return Accepted(self).run(clock)

    def _planed(self, leaves: Leaves, seen: Evaluation) -> tuple[Leaves, Evaluation]:
        """No proof has planes."""
        return leaves, seen

    # What the search tells

    def _anew(self, leaves: Leaves) -> Leaves:
        first = self.checked.count
        for group in leaves.group.tolist():
            self.tell(f"a {self.names[group]}")
        return replace(leaves, cell=torch.arange(first, self.checked.count))

    def _parted(self, pairs: Leaves, choice: Tensor) -> Leaves:
        first, half = self.checked.count, len(choice)
        places = [w for s in self.sites for w in self.where(s)]
        for cell, column in zip(pairs.cell[:half].tolist(), choice.tolist(), strict=True):
            self.tell("n {} {} {} 0".format(cell, *places[column]))
        new = torch.arange(first, self.checked.count).reshape(half, 2)
        return replace(pairs, cell=torch.cat([new[:, 0], new[:, 1]]))

    def _closed(self, leaves: Leaves) -> tuple[Leaves, Tensor]:
        closed = torch.tensor([self._crossed(cell) for cell in leaves.cell.tolist()], dtype=torch.bool)
        for cell in leaves.cell[closed].tolist():
            self.close(cell, "")
        asked = (~closed & (leaves.bound > 0)).nonzero().flatten()
        own = leaves[asked]
        told = self.proven(own, self.words(own, self.sites, self.mixes(own)), [None] * len(own))
        for i, cell, (text, value) in zip(asked.tolist(), own.cell.tolist(), told, strict=True):
            if value > 0:
                self.close(cell, text)
                closed[i] = True
        return replace(leaves, bound=torch.where(closed, leaves.bound, leaves.bound.clamp(max=0))), closed

    def _crossed(self, cell: int) -> bool:
        """Whether the ends of some argument cross, so that the cell is empty."""
        return any(bool((low > high).any()) for low, high in self.seen(cell).ends)

    def _settled(self, leaf: Leaves) -> bool:
        for k in range(TRIES):
            _, closed = self._closed(self.tightened(leaf, STEPS_LAST * 2**k))
            if bool(closed) or self.clock.over:
                break
        return bool(closed)

    def _violated(self, thorough: bool) -> Violated:
        return _Told(self, self.bounds, thorough)

    # Lines

    def begun_for_all(self) -> int:
        """A new cell that is the whole box for all groups."""
        self.tell(f"a {self.checked.question.count}")
        return self.checked.count - 1

    def tell(self, line: str) -> None:
        self.checked.read(line)
        self.emit(line)

    def close(self, cell: int, text: str) -> None:
        del self.checked.open[cell]
        self.emit(f"q {cell} {text}".rstrip())

    def where(self, site: Site) -> list[tuple[int, int]]:
        """The number of a rectifier, and each of its units' places in the checker's network."""
        kept, bend = self.kept.get(site.node.name), self.bends[site.node.name]
        return [(bend, place) for place in (site.places if kept is None else kept[site.places]).tolist()]

    def mixes(self, leaves: Leaves, normal: bool = True) -> list[str]:
        """Of each leaf the weights of rows."""
        return [_mix(mix) for mix in self.weights(leaves, normal)]

    def words(self, leaves: Leaves, sites: list[Site], mixes: list[str]) -> list[str]:
        """Of each leaf of these sites the weights of rows, the slopes and the multipliers, in few digits."""
        slopes = [np.full((len(leaves), low.size), ord("."), np.uint8) for low, _ in self.checked.whole]
        multipliers: list[list[str]] = [[] for _ in range(len(leaves))]
        for number, site in enumerate(sites):
            places = self.where(site)
            columns = [p for _, p in places]
            levels = (leaves.free[number][0].clamp(0, 1) * LEVELS).round().int().numpy() + FIRST
            bent = ((leaves.low[number] < 0) & (leaves.high[number] > 0)).numpy()
            slopes[places[0][0]][:, columns] = np.where(bent, levels, ord("."))
            for i, column in leaves.beta[number].nonzero().tolist():
                value = float(leaves.beta[number][i, column].float()).hex()
                multipliers[i] += ["{} {}".format(*places[column]), value]
        return [" ".join([mix, *(_word(s[i]) for s in slopes), *multipliers[i]]) for i, mix in enumerate(mixes)]

    def proven(self, leaves: Leaves, texts: list[str], aims: Sequence[tuple[int, int, int] | None]) -> list[tuple[str, float]]:
        """What the checker makes of the words about each leaf."""
        parts = [self.seen(cell, -1 if aim is None else aim[0]) for cell, aim in zip(leaves.cell.tolist(), aims, strict=True)]
        return list(zip(texts, self.values(list(zip(parts, texts, strict=True)), aims), strict=True))

    def seen(self, number: int, bend: int = -1) -> Cell:
        """A cell as the checker has it when it reads the next line of it, a line `i` of a rectifier or another one (-1)."""
        cell: Cell = self.checked.open[number]
        return cell if cell.bend in (-1, bend) else replace(cell, ends=cell.cut(cell.bend, cell.fresh), bend=-1, fresh={})

    def least(self, parts: list[tuple[Cell, str]], aim: tuple[int, int, int]) -> float:
        """What the checker makes of an argument in the worst of some cells, by the words about each."""
        return min(self.values(parts, [aim] * len(parts)))

    def values(self, parts: list[tuple[Cell, str]], aims: Sequence[tuple[int, int, int] | None]) -> list[float]:
        """What the checker makes of the words about each cell."""
        queries = [self.checked.query(cell, text.split(), aim) for (cell, text), aim in zip(parts, aims, strict=True)]
        found: list[float] = []
        for start in range(0, len(queries), BATCH):
            found += values(self.checked.bounds, self.checked.question, queries[start : start + BATCH]).tolist()
        return found


class _Told(Violated):
    """Intervals that the checker computes, each with the line that says how."""

    def __init__(self, search: Written, bounds: LeafBounds, thorough: bool) -> None:
        super().__init__(bounds, thorough)
        self.search = search

    def run(self, leaves: Leaves, losses: Tensor, cuts: list[Tensor], clock: Clock) -> tuple[Leaves, Tensor, float]:
        found, empty, gain = super().run(leaves, losses, cuts, clock)
        for i, cell in enumerate(leaves.cell.tolist()):
            if empty[i]:  # ends cross by more than rounding
                self.search.close(cell, "")
        return found, empty, gain

    def _told(self, found: Leaves, site: Site, at: Tensor, sign: float, known: Tensor, values: Tensor) -> Tensor:
        asked = (values > known).nonzero().flatten()
        own, places, stand = found[asked], self.search.where(site), known.clone()
        aims = [(*places[column], int(sign)) for column in at[asked].tolist()]
        told = self.search.proven(own, self.search.words(own, self.search.sites, self.search.mixes(own, normal=False)), aims)
        for i, cell, aim, (text, value) in zip(asked.tolist(), own.cell.tolist(), aims, told, strict=True):
            if value > known[i]:
                stand[i] = value
                mine = self.search.checked.open[cell]
                if mine.bend != aim[0]:
                    mine.narrow()
                mine.bend = aim[0]
                mine.learn(aim[1], aim[2], aim[2] * value)
                self.search.emit(f"i {cell} {aim[0]} {aim[1]} {aim[2]} {text}")
        return stand


def _intervals(nodes: list[Node], bounds: Bounds) -> dict[str, Interval]:
    """Of the rectifiers and their arguments, those that the checker takes."""
    found = {}
    for node, ends in zip(nodes, bounds.arguments.values(), strict=True):
        low, high = (torch.from_numpy(e.copy()).reshape(1, *node.shape) for e in ends)
        found[node.inputs[0]], found[node.name] = Interval(low, high), Interval(low.clamp(min=0), high.clamp(min=0))
    return found


def _guard(bounds: Bounds, root: Root) -> Array:
    """What the rows of leaves have to prove beyond zero."""
    asked = root.question.rows[None], root.question.offsets[None]
    free = copy.copy(bounds)
    free.slack = [0 * s for s in free.slack]
    least = free.planes(*asked).least[0]
    found: Array = GUARD * (least - bounds.planes(*asked).least[0]) + DIGITS * np.abs(least)
    return found


def _mix(weights: list[float]) -> str:
    return ",".join(float(np.float32(w)).hex() for w in weights)


def _word(slopes: Array) -> str:
    return "-" if (slopes == ord(".")).all() else slopes.tobytes().decode()
