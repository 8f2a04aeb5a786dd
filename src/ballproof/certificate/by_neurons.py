"""Proofs that split neurons: the engine `neurons` searches on the checker's own intervals, its leaves become lines.

What the engine knows of a leaf, slopes and multipliers, is rounded to few digits; every leaf is then evaluated by the checker.
One that fails is bounded anew with more steps, until it passes or time is over.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ballproof.certificate.checker.arithmetic import Arithmetic, RefusedError
from ballproof.certificate.checker.certificate import Root
from ballproof.certificate.checker.network import Network
from ballproof.certificate.checker.neurons import BATCH, FIRST, LEVELS, read_leaf, values
from ballproof.certificate.checker.rounded import Bounds
from ballproof.graph import Graph, Node
from ballproof.graph.prune import without_units
from ballproof.networks.onnx_file import read_onnx
from ballproof.operations import Nonlinear, Role
from ballproof.operations.linear import Linear
from ballproof.operations.relu import Relu
from ballproof.problems import Box, Property
from ballproof.solve.clock import Clock, Task
from ballproof.solve.leaves import Leaves, Site
from ballproof.solve.neurons import NeuronSplitting
from ballproof.values import Interval

Array = np.ndarray[Any, np.dtype[Any]]
Split = tuple[int, int, bool]

LARGEST = 2**24
"""Numbers of one layer as a matrix; 128 MiB."""

GUARD, DIGITS = 1.25, 1e-7
"""What a leaf has to prove beyond zero: this share of what float32 costs the rows at the root, and of the rows themselves."""


def neuron_lines(
    network: Network, root: Root, arithmetic: Arithmetic, seconds: float, path: Path | None = None
) -> list[str] | None:
    """The lines of a proof of this box that the checker accepts; None where none is found in time, or the search cannot be told
    in the checker's rectifiers.

    path: of the file, to search on its own graph where the network is no chain of layers that are small enough as matrices.
    """
    clock = Clock(seconds)
    graph = chain(network) or (None if path is None else own_graph(network, path))
    if graph is None:
        return None
    try:
        return _Search(network, graph, root, arithmetic, clock).lines()
    except RefusedError:  # numbers overflow on the whole box
        return None


def own_graph(network: Network, path: Path) -> Graph | None:
    """The file's graph in double precision; None where its rectifiers are not those of the checker, one by one."""
    graph = read_onnx(path).to(dtype=torch.float64)
    bends = [n for n in graph.varying if isinstance(n.operation, Nonlinear)]
    sizes = [n.size for n in network.nodes if n.kind == "Relu"]
    fits = all(isinstance(n.operation, Relu) for n in bends) and [math.prod(n.shape) for n in bends] == sizes
    return graph if fits and all(n.kind in ("input", "affine", "Relu") for n in network.nodes) else None


def chain(network: Network) -> Graph | None:
    """The checker's network as a graph of matrices, node by node; None where it is no chain or too large."""
    nodes, given = [Node("0", None, (), (network.nodes[0].size,), Role.INPUT)], {}
    for place, node in enumerate(network.nodes[1:], 1):
        sources = {p.source for p in node.parts}
        if (
            sources != {place - 1}
            or node.kind not in ("affine", "Relu")
            or (node.kind == "Relu" and not _whole(node.take, network.nodes[place - 1].size))
        ):
            return None
        if node.kind == "Relu":
            nodes.append(Node(str(place), Relu(), (str(place - 1),), (node.size,), Role.NONLINEAR))
            continue
        if node.size * network.nodes[place - 1].size > LARGEST:
            return None
        matrix = sum(p.rows(np.arange(node.size)) for p in node.parts)
        for name, value in (("weight", matrix), ("bias", node.bias)):
            given[f"{place}.{name}"] = torch.from_numpy(np.array(value))
            nodes.append(Node(f"{place}.{name}", None, (), tuple(given[f"{place}.{name}"].shape), Role.CONSTANT))
        inputs = (str(place - 1), f"{place}.weight", f"{place}.bias")
        nodes.append(Node(str(place), Linear(), inputs, (node.size,), Role.AFFINE))
    if network.output.node != len(network.nodes) - 1 or not _whole(network.output.index.ravel(), network.nodes[-1].size):
        return None
    return Graph(tuple(nodes), "0", str(len(network.nodes) - 1), given)


def _whole(take: Array, size: int) -> bool:
    return len(take) == size and bool((take == np.arange(size)).all())


class _Search:
    def __init__(self, network: Network, graph: Graph, root: Root, arithmetic: Arithmetic, clock: Clock) -> None:
        self.question, self.clock = root.question, clock
        self.bounds = Bounds(network, root.low[None], root.high[None], arithmetic)
        nodes = [n for n in graph.varying if isinstance(n.operation, Nonlinear)]
        self.bends = {n.name: number for number, n in enumerate(nodes)}
        intervals = self._intervals(nodes)
        zero = {n: ((intervals[n].lower == 0) & (intervals[n].upper == 0)).flatten() for n in self.bends}
        graph, self.kept = without_units(graph, zero)
        self.intervals = {
            n: i if (k := self.kept.get(n)) is None else Interval(i.lower[:, k], i.upper[:, k]) for n, i in intervals.items()
        }
        rows = torch.from_numpy(root.question.rows.copy()).reshape(1, -1, *graph.output_shape)
        ends = torch.from_numpy(root.question.offsets - self._guard())[None]
        groups = tuple(int(g) for g in root.question.groups)
        region = Box(*(torch.from_numpy(e).reshape(1, *graph.input_shape) for e in (root.low, root.high)))
        self.task = Task(graph, region, Property(rows, ends, groups), lambda points: None, clock)

    def _intervals(self, nodes: list[Node]) -> dict[str, Interval]:
        """Of the rectifiers and their arguments, those that the checker takes."""
        found = {}
        for node, ends in zip(nodes, self.bounds.arguments.values(), strict=True):
            low, high = (torch.from_numpy(e.copy()).reshape(1, *node.shape) for e in ends)
            found[node.inputs[0]], found[node.name] = Interval(low, high), Interval(low.clamp(min=0), high.clamp(min=0))
        return found

    def _guard(self) -> Array:
        """What the rows of leaves have to prove beyond zero."""
        asked = self.question.rows[None], self.question.offsets[None]
        free = copy.copy(self.bounds)
        free.slack = [0 * s for s in free.slack]
        least = free.planes(*asked).least[0]
        found: Array = GUARD * (least - self.bounds.planes(*asked).least[0]) + DIGITS * np.abs(least)
        return found

    def lines(self) -> list[str] | None:
        journal: list[Leaves] = []
        search = NeuronSplitting(self.task, self.intervals, journal)
        if not search.run(self.clock).proven:
            return None
        leaves = Leaves.joined(journal)
        splits = self._splits(search, leaves)
        texts = self._texts(search, leaves, splits)
        if texts is None:
            return None
        found = ["g"] if self.question.count > 1 else []
        for group in range(self.question.count):
            own = [i for i, g in enumerate(leaves.group.tolist()) if search.names[g] == group]
            found += _tree([(splits[i], texts[i]) for i in own])
        return found

    def _splits(self, search: NeuronSplitting, leaves: Leaves) -> list[frozenset[Split]]:
        """Of each leaf, the units that are cut."""
        found: list[set[Split]] = [set() for _ in range(len(leaves))]
        for number, site in enumerate(search.sites):
            bend, places = self._where(site)
            first = search.base.low[number], search.base.high[number]
            for cut, above in ((leaves.low[number] != first[0], True), (leaves.high[number] != first[1], False)):
                for leaf, column in cut.nonzero().tolist():
                    found[leaf].add((bend, places[column], above))
        return [frozenset(f) for f in found]

    def _where(self, site: Site) -> tuple[int, list[int]]:
        """The number of a rectifier, and its units' places in the checker's network."""
        kept = self.kept.get(site.node.name)
        return self.bends[site.node.name], (site.places if kept is None else kept[site.places]).tolist()

    def _texts(self, search: NeuronSplitting, leaves: Leaves, splits: list[frozenset[Split]]) -> list[str] | None:
        """A line for each leaf that the checker accepts."""
        found, left, steps = [""] * len(leaves), torch.arange(len(leaves)), 0
        ends = list(self.bounds.arguments.values())
        while len(left):
            if self.clock.over:
                return None
            own = leaves[left] if not steps else search.tightened(leaves[left], steps)
            for start in range(0, len(left), BATCH):
                many = list(zip(left.tolist(), own.group.tolist(), self._words(search, own), strict=True))[
                    start : start + BATCH
                ]
                asked = [read_leaf(tuple(splits[i]), w, ends, self.question, search.names[g]) for i, g, w in many]
                for (i, _, words), value in zip(many, values(self.bounds, asked).tolist(), strict=True):
                    found[i] = " ".join(["q", *words]) if value > 0 else ""
            left = torch.tensor([i for i in left.tolist() if not found[i]], dtype=torch.long)
            steps = 2 * steps + 25
        return found

    def _words(self, search: NeuronSplitting, leaves: Leaves) -> list[list[str]]:
        """Of each leaf the weights of rows, the slopes and the multipliers, in few digits."""
        slopes = [[np.full(low.shape[1], ord(".")) for low, _ in self.bounds.arguments.values()] for _ in range(len(leaves))]
        multipliers: list[list[str]] = [[] for _ in range(len(leaves))]
        for number, site in enumerate(search.sites):
            bend, places = self._where(site)
            levels = (leaves.free[number][0].clamp(0, 1) * LEVELS).round().int().numpy() + FIRST
            for own, level in zip(slopes, levels, strict=True):
                own[bend][places] = level
            for i, column in leaves.beta[number].nonzero().tolist():
                multipliers[i] += [str(bend), str(places[column]), float(leaves.beta[number][i, column].float()).hex()]
        weights = search.weights(leaves)
        return [
            [",".join(float(np.float32(w)).hex() for w in mix), *("".join(map(chr, s)) for s in own), *more]
            for mix, own, more in zip(weights, slopes, multipliers, strict=True)
        ]


def _tree(leaves: list[tuple[frozenset[Split], str]]) -> list[str]:
    """The lines of a tree with these leaves: each is cut first at a unit that all of them cut."""
    if len(leaves) == 1 and not leaves[0][0]:
        return [leaves[0][1]]
    counts = Counter(s[:2] for splits, _ in leaves for s in splits)
    (bend, unit), count = counts.most_common(1)[0]
    assert count == len(leaves), "leaves that are no tree"
    found = [f"n {bend} {unit}"]
    for above in (False, True):
        side = (bend, unit, above)
        found += _tree([(splits - {side}, text) for splits, text in leaves if side in splits])
    return found
