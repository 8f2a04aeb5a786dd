"""Zonotopes: every node as an affine image of the region and of noise symbols, walked front to back (DeepZ)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.bounds.interval import arguments, exact_on_boxes, interval_pass, placed
from ballproof.bounds.memory import Budget
from ballproof.errors import InputError
from ballproof.graph import Graph, Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import Region
from ballproof.values import Interval, Line


@dataclass(frozen=True)
class Zonotope:
    """Values `center + x · input + noise · e` for x in the region and |e| <= 1, each example with its own.

    center: `(batch, *node)`. input: the coefficients of the region's coordinates, `(batch or 1, coordinate, *node)`.
    noise: those of the noise symbols, `(batch, symbol, *node)`.
    """

    center: Tensor
    input: Tensor
    noise: Tensor

    def interval(self, region: Region) -> Interval:
        """The exact ends of every coordinate over the region and the noise."""
        rows = _flat(self.input).transpose(1, 2)
        extent = region.extent(rows.reshape(*rows.shape[:2], *region.shape))
        spread = _flat(self.noise).abs().sum(1)
        lower, upper = extent.lower - spread, extent.upper + spread
        return Interval(lower.reshape(self.center.shape) + self.center, upper.reshape(self.center.shape) + self.center)

    def padded(self, symbols: int) -> Zonotope:
        """With symbols that came later and that it does not depend on."""
        missing = symbols - self.noise.shape[1]
        zeros = self.noise.new_zeros(self.noise.shape[0], missing, *self.noise.shape[2:])
        return Zonotope(self.center, self.input, torch.cat([self.noise, zeros], 1)) if missing else self


class ZonotopePass:
    """The zonotope of every node on a region. No gradient is promised.

    Price: a forward pass for each coordinate of the input and for each symbol, of which every coordinate that a nonlinear
    node leaves unsettled makes one. Raises `InputError` where they do not fit the memory budget.
    """

    def __init__(self, graph: Graph, region: Region, budget: Budget) -> None:
        self.graph, self.region, self.budget = graph, region, budget
        self.constants = graph.constants()
        boxlike = region.norm in ("linf", "box")
        self.boxes = interval_pass(graph, region.box(), self.constants)
        self.exact = {name: self.boxes[name] for name in exact_on_boxes(graph) if boxlike}
        count = int(torch.Size(region.shape).numel())
        unit = torch.eye(count, dtype=region.dtype, device=region.device).reshape(1, count, *region.shape)
        zero = torch.zeros_like(region.like)
        self.known = {graph.input: Zonotope(zero, unit, zero.unsqueeze(1)[:, :0])}
        self.symbols = 0

    def run(self) -> dict[str, Zonotope]:
        """Every node's zonotope, by name."""
        for node in self.graph.varying:
            operation = node.operation
            if isinstance(operation, Affine):
                self.known[node.name] = self._affine(node, operation)
            else:
                assert isinstance(operation, Nonlinear)
                self.known[node.name] = self._nonlinear(node, operation)
        return self.known

    def _inputs(self, node: Node) -> list[Zonotope]:
        return [self.known[i].padded(self.symbols) for i in node.inputs if self.graph.node[i].varies]

    def _affine(self, node: Node, operation: Affine) -> Zonotope:
        varying = self._inputs(node)
        given = self.graph.arguments(node, self.constants)
        center = operation.forward(*_placed(given, [z.center for z in varying]))
        term = operation.constant_term(given, self.graph.shapes(node))

        def linear(parts: list[Tensor]) -> Tensor:
            ahead = torch.broadcast_shapes(*(p.shape[:2] for p in parts))
            flat = [p.expand(*ahead, *p.shape[2:]).flatten(0, 1) for p in parts]
            value: Tensor = operation.forward(*_placed(given, flat)) if flat[0].shape[0] else flat[0].new_zeros(0, *node.shape)
            shifted = value if term is None else value - term.to(value)
            return shifted.reshape(*ahead, *node.shape)

        return Zonotope(center, linear([z.input for z in varying]), linear([z.noise for z in varying]))

    def _nonlinear(self, node: Node, operation: Nonlinear) -> Zonotope:
        varying = self._inputs(node)
        names = [i for i in node.inputs if self.graph.node[i].varies]
        found = {n: self.exact.get(n) or z.interval(self.region) for n, z in zip(names, varying, strict=True)}
        outside = operation.outside(found[names[0]]) if isinstance(operation, Scalar) else None
        if outside is not None and bool(outside.any()):  # as a sum of squares stays positive in interval arithmetic
            found[names[0]] = found[names[0]].intersect(self.boxes[names[0]], names[0])
        with placed(node):
            relaxation = operation.relax(*arguments(self.graph, node, found, self.constants), slope="parallel")
        line, low, high = relaxation.lower, relaxation.lower.offset, relaxation.upper.offset

        def applied(parts: list[Tensor]) -> Tensor:
            return self._applied(node, operation, line, parts)

        center = (low + high) / 2 + applied([z.center.unsqueeze(1) for z in varying]).squeeze(1)
        pushed = applied([z.input for z in varying]), applied([z.noise for z in varying])
        fresh = self._fresh((high - low) / 2)
        self.symbols += fresh.shape[1]
        self._afford(node, pushed[0].shape[1] + self.symbols)
        return Zonotope(center, pushed[0], torch.cat([pushed[1], fresh], 1))

    def _applied(self, node: Node, operation: Nonlinear, line: Line, parts: list[Tensor]) -> Tensor:
        """The linear part of a line, applied to coefficients `(batch or 1, symbol, *argument)`: transposed pull-back."""
        if operation.coordinatewise:
            return parts[0] * line.slopes[0].unsqueeze(1)
        batch, symbols = self.region.batch, parts[0].shape[1]
        parts = [p.expand(batch, *p.shape[1:]) for p in parts]
        slopes = tuple(s.unsqueeze(1) for s in line.slopes)
        shapes = tuple(s for s, i in zip(self.graph.shapes(node), node.inputs, strict=True) if self.graph.node[i].varies)
        with torch.enable_grad():
            probe = torch.zeros(batch, symbols, *node.shape, dtype=parts[0].dtype, device=parts[0].device, requires_grad=True)
            pulled = operation.pull_slopes(probe, slopes, shapes)
            (found,) = torch.autograd.grad(pulled, probe, parts, materialize_grads=True)
        return found

    def _fresh(self, half: Tensor) -> Tensor:
        """One symbol for each coordinate whose lines leave a gap in some example, `(batch, symbol, *node)`."""
        flat = half.reshape(len(half), -1)
        places = (flat > 0).any(0).nonzero().flatten()
        fresh = torch.zeros(flat.shape[0], len(places), flat.shape[1], dtype=flat.dtype, device=flat.device)
        fresh[:, torch.arange(len(places), device=flat.device), places] = flat[:, places]
        return fresh.reshape(*fresh.shape[:2], *half.shape[1:])

    def _afford(self, node: Node, terms: int) -> None:
        size = self.region.batch * terms * int(torch.Size(node.shape).numel()) * self.region.like.element_size()
        if size > self.budget.bytes:
            raise InputError(
                f"the zonotope of `{node.name}` has {terms} terms, {size / 2**20:.0f} MiB; the budget is "
                f"{self.budget.bytes / 2**20:.0f} MiB: give more `memory`, or use `dual`, which has the same bounds"
            )


def _placed(given: tuple[Tensor | None, ...], varying: list[Tensor]) -> list[Tensor]:
    """The constants with the varying tensors in the gaps."""
    rest = iter(varying)
    return [next(rest) if g is None else g for g in given]


def zonotope_lower(graph: Graph, region: Region, cotangent: Tensor, budget: Budget) -> Tensor:
    """Proven lower values of `cotangent (batch or 1, query, *output) · output`, `(batch, query)`."""
    with torch.no_grad():
        found = ZonotopePass(graph, region, budget).run()[graph.output]
        rows = _flat(cotangent)
        center = _times(found.center.reshape(len(found.center), -1).unsqueeze(1), rows).squeeze(1)
        spread = _times(_flat(found.noise), rows).abs().sum(1)
        onto = _times(_flat(found.input), rows).transpose(1, 2)
        return region.minimum(onto.reshape(*onto.shape[:2], *region.shape)) + center - spread


def _times(values: Tensor, rows: Tensor) -> Tensor:
    """`(batch or 1, term, node) · (batch or 1, query, node) -> (batch or 1, term, query)`."""
    return values @ rows.transpose(1, 2)


def _flat(terms: Tensor) -> Tensor:
    """`(batch, term, *node)` as `(batch, term, coordinates)`, for no terms and for nodes of one number too."""
    return terms.reshape(*terms.shape[:2], terms.shape[2:].numel())
