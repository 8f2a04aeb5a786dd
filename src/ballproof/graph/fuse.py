"""`fused`: runs of affine nodes joined into one matrix where that is no more work, and inputs of one value left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Affine, Role
from ballproof.operations.convolution import Convolution
from ballproof.operations.convolution_transposed import ConvolutionTransposed
from ballproof.operations.linear import Linear
from ballproof.operations.reshape import Reshape

LARGEST = 2**24
"""Numbers in a joined matrix; 128 MiB in double precision."""

SMALL = 2**14
"""A matrix of so few numbers costs less than the steps between several nodes."""


def fused(graph: Graph) -> Graph:
    """The same function with fewer nodes: equal up to rounding, computed in double and stored in the graph's type.

    The names of nonlinear nodes and of the output stay; inner affine nodes vanish. Parameters are no longer live.
    """
    with torch.no_grad():
        return _Fusing(graph).run()


def on_free_inputs(graph: Graph, point: Tensor, free: Tensor) -> Graph:
    """The network as a function of some inputs alone: `free` are flat places, the others stand at `point (*input)`.

    Its input has shape `(len(free),)`.
    """
    name, size = graph.input, point.numel()
    embed = torch.zeros(size, len(free), dtype=graph.dtype, device=point.device)
    embed[free, torch.arange(len(free), device=point.device)] = 1.0
    rest = point.flatten().to(graph.dtype).clone()
    rest[free] = 0.0
    first, weight, bias = (_fresh(graph, f"{name}.{part}") for part in ("free", "places", "fixed"))
    nodes = (
        Node(first, None, (), (len(free),), Role.INPUT),
        Node(weight, None, (), tuple(embed.shape), Role.CONSTANT),
        Node(bias, None, (), (size,), Role.CONSTANT),
        Node(f"{first}.flat", Linear(), (first, weight, bias), (size,), Role.AFFINE),
        Node(name, Reshape(tuple(graph.input_shape)), (f"{first}.flat",), graph.input_shape, Role.AFFINE),
    )
    kept = tuple(n for n in graph.nodes if n.name != name)
    return Graph((*nodes, *kept), first, graph.output, {**graph.values, weight: embed, bias: rest})


def _fresh(graph: Graph, name: str) -> str:
    while name in graph.node:
        name += "_"
    return name


@dataclass
class _Fusing:
    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)

    def run(self) -> Graph:
        graph = self.graph
        self.values = dict(graph.values)
        self.constants = graph.constants()
        self.users: dict[str, int] = {graph.output: 1}
        for n in graph.varying:
            for i in n.inputs:
                self.users[i] = self.users.get(i, 0) + 1
        runs, inside = self._runs()
        for n in graph.nodes:
            if n.name in runs:
                self._write(runs[n.name])
            elif n.name not in inside:
                self.nodes.append(n)
        return Graph(tuple(self.nodes), graph.input, graph.output, self.values).until(graph.output)

    def _runs(self) -> tuple[dict[str, list[Node]], set[str]]:
        """By the name of its last node, every run that is worth joining; and the names of the nodes before the last."""
        chains: dict[str, list[Node]] = {}
        for n in self.graph.varying:
            parent = self._parent(n)
            if parent is None:
                continue
            before = chains.pop(parent, []) if self.users[parent] == 1 else []
            chains[n.name] = [*before, n]
        found: dict[str, list[Node]] = {}
        for chain in chains.values():
            for run in self._worth(chain):
                found[run[-1].name] = run
        return found, {n.name for run in found.values() for n in run[:-1]}

    def _parent(self, node: Node) -> str | None:
        """The one varying argument of an affine node."""
        varying = [i for i in node.inputs if self.graph.node[i].varies]
        return varying[0] if isinstance(node.operation, Affine) and len(varying) == 1 else None

    def _worth(self, chain: list[Node]) -> list[list[Node]]:
        """The longest runs of a chain that cost no more as one matrix, from the front."""
        found, start = [], 0
        while start < len(chain):
            stop = next((e for e in range(len(chain), start + 1, -1) if self._cheaper(chain[start:e])), start + 1)
            if stop - start > 1:
                found.append(chain[start:stop])
            start = stop
        return found

    def _cheaper(self, run: list[Node]) -> bool:
        if all(isinstance(n.operation, Reshape) for n in run):
            return False
        parent = self._parent(run[0])
        assert parent is not None
        size = _count(self.graph.node[parent].shape) * _count(run[-1].shape)
        return size <= LARGEST and (size <= SMALL or size <= sum(self._work(n) for n in run))

    def _work(self, node: Node) -> int:
        """Multiplications of one forward pass."""
        given = [self.constants[i].numel() for i in node.inputs if not self.graph.node[i].varies]
        weight = max(given, default=0)
        if isinstance(node.operation, Convolution):
            return weight * _count(node.shape[1:])
        if isinstance(node.operation, ConvolutionTransposed):
            parent = self._parent(node)
            assert parent is not None
            return weight * _count(self.graph.node[parent].shape[1:])
        return max(weight, _count(node.shape))

    def _write(self, run: list[Node]) -> None:
        first, last = self._parent(run[0]), run[-1]
        assert first is not None
        shape = self.graph.node[first].shape
        weight, bias = self._matrix(run, first)
        name, source = last.name, last.source
        if len(shape) != 1:
            flat = f"{name}.flat"
            self.nodes.append(Node(flat, Reshape((_count(shape),)), (first,), (_count(shape),), Role.AFFINE, source))
            first = flat
        for part, value in (("weight", weight), ("bias", bias)):
            self.values[f"{name}.{part}"] = value
            self.nodes.append(Node(f"{name}.{part}", None, (), tuple(value.shape), Role.CONSTANT))
        inputs = (first, f"{name}.weight", f"{name}.bias")
        flat_out = (_count(last.shape),)
        if len(last.shape) == 1:
            self.nodes.append(Node(name, Linear(), inputs, flat_out, Role.AFFINE, source))
            return
        self.nodes.append(Node(f"{name}.joined", Linear(), inputs, flat_out, Role.AFFINE, source))
        self.nodes.append(Node(name, Reshape(last.shape), (f"{name}.joined",), last.shape, Role.AFFINE, source))

    def _matrix(self, run: list[Node], first: str) -> tuple[Tensor, Tensor]:
        """Weight `(out, in)` and bias `(out,)` of the run, in the graph's type."""
        shape = self.graph.node[first].shape
        count = _count(shape)
        wide = {k: v.double() if v.is_floating_point() else v for k, v in self.constants.items()}
        like = next(iter(wide.values()), torch.zeros(()))
        eye = torch.eye(count, dtype=torch.float64, device=like.device).reshape(count, *shape)
        points = torch.cat([eye.new_zeros(1, *shape), eye])
        for n in run:
            assert n.operation is not None
            points = n.operation.forward(*(points if self.graph.node[i].varies else wide[i] for i in n.inputs))
        flat = points.flatten(1) if points.ndim > 1 else points.unsqueeze(1)
        weight = (flat[1:] - flat[0]).T.contiguous()
        return weight.to(self.graph.dtype), flat[0].to(self.graph.dtype)


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
