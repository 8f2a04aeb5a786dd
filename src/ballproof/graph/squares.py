"""`with_squares`: quadratic forms of a small network as sums of squares of affine functions.

A sum of products a_i b_i of affine functions of the same values z is one quadratic form `z' M z + m z + c`. Bounded product by
product it loses the width of every a_i times that of b_i, though most of it cancels. With eigenvectors v_k of M it is
`sum of e_k (v_k z)^2`: each square has a tight envelope of its own, and what cancels in M is never bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ballproof.graph.graph import Graph
from ballproof.graph.node import Node
from ballproof.operations import Affine, Role
from ballproof.operations.concat import Concat
from ballproof.operations.linear import Linear
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.operations.reshape import Reshape
from ballproof.operations.sum import Sum
from ballproof.values import Interval

MOST = 512
"""Numbers that the nonlinear nodes may hold in all."""

NOTHING = 1e-15
"""Of the largest eigenvalue: what is smaller is rounding and left out of the squares."""

LEAST = 1e-6
"""Of the largest unit, the least one."""


def with_squares(graph: Graph, reach: Mapping[str, Interval]) -> Graph:
    """The same function, up to rounding, wherever the values reach; the graph itself without a sum of products or if not small.

    reach: intervals `(1, *node)` that enclose the input, which has some width, and the nonlinear nodes. The form is one of how
    far values are from their centers, in units of their radii: so all that the eigenvectors lose is a share of 1e-15 of what
    the form varies, however large the centers are. Nonlinear nodes keep their names, what is affine between them becomes
    matrices, and parameters are not live.
    """
    sums = sums_of_products(graph)
    if not sums:
        return graph
    with torch.no_grad():
        return _Writing(graph, reach, sums).run()


def sums_of_products(graph: Graph) -> dict[str, Node]:
    """The products by the name of the sum that is their only user and leaves one number; none unless the network is small."""
    if sum(_count(n.shape) for n in graph.varying if not isinstance(n.operation, Affine)) > MOST:
        return {}
    users: dict[str, list[str]] = {graph.output: [""]}
    for n in graph.varying:
        for i in n.inputs:
            users.setdefault(i, []).append(n.name)
    found = {}
    for n in graph.varying:
        first = graph.node[n.inputs[0]]
        alone = isinstance(first.operation, Product) and users[first.name] == [n.name]
        if isinstance(n.operation, Sum) and _count(n.shape) == 1 and alone and _plain(graph, first):
            found[n.name] = first
    return found


def _plain(graph: Graph, product: Node) -> bool:
    """Whether nothing is broadcast."""
    return all(graph.node[i].shape == product.shape for i in product.inputs)


@dataclass
class _Writing:
    """bases: the input and the nonlinear nodes so far. values: by node, its values `(1 + columns, *node)` where all bases are 0
    and where one number of them is 1."""

    graph: Graph
    reach: Mapping[str, Interval]
    sums: Mapping[str, Node]
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Tensor] = field(default_factory=dict)
    bases: list[tuple[str, int]] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    ends: list[Interval] = field(default_factory=list)

    def run(self) -> Graph:
        graph = self.graph
        self.known = {k: v.double() if v.is_floating_point() else v for k, v in graph.constants().items()}
        self.nodes.append(graph.node[graph.input])
        self._base(graph.input, graph.input_shape, self.reach[graph.input])
        products = {p.name for p in self.sums.values()}
        for n in graph.varying:
            if n.name in products:
                continue
            if n.name in self.sums:
                self._quadratic(n)
            elif isinstance(n.operation, Affine):
                given = (self._padded(i) if graph.node[i].varies else self.known[i] for i in n.inputs)
                self.values[n.name] = n.operation.forward(*given)
            else:
                self._nonlinear(n)
        self._written(graph.output)
        return Graph(tuple(self.nodes), graph.input, graph.output, self.constants).until(graph.output)

    def _base(self, name: str, shape: tuple[int, ...], ends: Interval) -> None:
        """A node whose values all that follows is an affine function of."""
        before, count = sum(c for _, c in self.bases), _count(shape)
        self.bases.append((name, count))
        self.ends.append(Interval(ends.lower.double().flatten(), ends.upper.double().flatten()))
        unit = torch.zeros(1 + before + count, count, dtype=torch.float64)
        unit[1 + before :] = torch.eye(count, dtype=torch.float64)
        self.values[name] = unit.reshape(-1, *shape)

    def _padded(self, name: str) -> Tensor:
        """Values with a row for each number of the bases so far."""
        value, rows = self.values[name], 1 + sum(c for _, c in self.bases)
        return torch.cat([value, value[:1].expand(rows - len(value), *value.shape[1:])])

    def _columns(self, name: str) -> tuple[Tensor, Tensor]:
        """The node as `matrix (numbers, columns)` times the bases plus `offset (numbers,)`."""
        flat = self._padded(name).flatten(1)
        return (flat[1:] - flat[0]).T, flat[0]

    def _nonlinear(self, node: Node) -> None:
        for i in dict.fromkeys(node.inputs):
            if self.graph.node[i].varies:
                self._written(i)
            elif i not in self.constants:
                self._constant(i, self.known[i])
        self.nodes.append(node)
        self._base(node.name, node.shape, self.reach[node.name])

    def _written(self, name: str) -> None:
        """The node as a matrix of the bases that it depends on, under its own name."""
        if any(n.name == name for n in self.nodes):
            return
        self._linear(name, *self._columns(name), self.graph.node[name].shape)

    def _linear(self, name: str, matrix: Tensor, offset: Tensor, shape: tuple[int, ...]) -> None:
        blocks = matrix.split([c for _, c in self.bases], 1)
        used = [(b, base) for b, base in zip(blocks, self.bases, strict=True) if bool((b != 0).any())] or [
            (blocks[0], self.bases[0])
        ]
        given = self._joined([base for _, base in used], name)
        weight = torch.cat([b for b, _ in used], 1)
        self._constant(f"{name}.weight", weight)
        self._constant(f"{name}.bias", offset)
        flat = name if len(shape) == 1 else f"{name}.flat"
        inputs = (given, f"{name}.weight", f"{name}.bias")
        self.nodes.append(Node(flat, Linear(), inputs, (len(weight),), Role.AFFINE))
        if flat != name:
            self.nodes.append(Node(name, Reshape(shape), (flat,), shape, Role.AFFINE))

    def _joined(self, bases: list[tuple[str, int]], user: str) -> str:
        names = []
        for name, count in bases:
            flat = name if len(self._shape(name)) == 1 else f"{name}.as_row"
            if flat != name and not any(n.name == flat for n in self.nodes):
                self.nodes.append(Node(flat, Reshape((count,)), (name,), (count,), Role.AFFINE))
            names.append(flat)
        if len(names) == 1:
            return names[0]
        joined = Node(f"{user}.bases", Concat(1), tuple(names), (sum(c for _, c in bases),), Role.AFFINE)
        self.nodes.append(joined)
        return joined.name

    def _shape(self, name: str) -> tuple[int, ...]:
        return next(n.shape for n in self.nodes if n.name == name)

    def _constant(self, name: str, value: Tensor) -> None:
        if name not in self.constants:
            self.constants[name] = value.to(self.graph.dtype) if value.is_floating_point() else value
            self.nodes.append(Node(name, None, (), tuple(value.shape), Role.CONSTANT))

    def _quadratic(self, node: Node) -> None:
        """The sum as squares, which are a base from here on, and what is affine besides."""
        (a, fixed_a), (b, fixed_b) = (self._columns(i) for i in self.sums[node.name].inputs)
        center, radius = (torch.cat([getattr(e, part) for e in self.ends]) for part in ("center", "radius"))
        fixed_a, fixed_b = fixed_a + a @ center, fixed_b + b @ center
        unit = radius.clamp(min=LEAST * float(radius.amax()))
        size, vector = torch.linalg.eigh(unit[:, None] * (a.T @ b + b.T @ a) / 2 * unit)
        order = size.abs().argsort(descending=True)
        order = order[: max(1, int((size.abs() > NOTHING * size.abs().amax()).sum()))]
        size, vector = size[order], vector[:, order]
        rows = (vector * size.abs().sqrt()).T / unit
        name = f"{node.name}.squares"
        self._linear(f"{name}.of", rows, -rows @ center, (len(rows),))
        self.nodes.append(Node(name, Power(2), (f"{name}.of",), (len(rows),), Role.NONLINEAR))
        slope = a.T @ fixed_b + b.T @ fixed_a
        top = (rows.abs() @ radius) ** 2
        self._base(name, (len(rows),), Interval(torch.zeros_like(top), top))
        constant = (fixed_a * fixed_b).sum() - slope @ center
        affine = torch.cat([slope.new_zeros(1), slope, size.sign()])
        self.values[node.name] = (affine + constant).reshape(-1, *node.shape)


def _count(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
