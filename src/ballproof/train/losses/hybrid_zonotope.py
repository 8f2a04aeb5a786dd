"""The hybrid zonotope (Mirman et al. 2018, DiffAI): some coordinates of the input as noise symbols, everything else as a box.

A value is `center + symbols · e + reach · d` with all e in [-1, 1], shared by the whole network, and all d in [-1, 1], one for
each coordinate alone. Affine layers keep what the symbols say of each other; what a nonlinear node loses goes into `reach`, so
the number of symbols never grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.bounds.interval import arguments, placed
from ballproof.errors import UnsupportedError
from ballproof.graph import Node
from ballproof.operations import Affine, Nonlinear
from ballproof.operations.relu import Relu
from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.values import Interval


def hybrid_zonotope(moment: Moment) -> Tensor:
    """A proven bound of the worst cross-entropy. Price: about `symbols` forward passes and those of `interval`.

    The symbols go to the coordinates of the input on which the clean loss depends most, weighted with their widths.
    """
    return worst_cross_entropy(hybrid_margins(moment))


def hybrid_margins(moment: Moment) -> Tensor:
    """Proven lower values of the margins, `(batch, classes - 1)`."""
    box = moment.region.box()
    found = _Walk(moment).run(_start(box, _influence(moment) * box.radius, moment.config.symbols))
    center = (moment.rows @ found.center.unsqueeze(2)).squeeze(2)
    spread = torch.einsum("bsc,bqc->bsq", found.symbols, moment.rows).abs().sum(1)
    return center - spread - (moment.rows.abs() @ found.reach.unsqueeze(2)).squeeze(2)


@dataclass(frozen=True)
class Hybrid:
    """center, reach >= 0: `(batch, *node)`. symbols: `(batch, symbol, *node)`."""

    center: Tensor
    symbols: Tensor
    reach: Tensor

    @property
    def interval(self) -> Interval:
        radius = self.reach + self.symbols.abs().sum(1)
        return Interval(self.center - radius, self.center + radius)


def _influence(moment: Moment) -> Tensor:
    """The size of the clean loss's slope on every coordinate of the input."""
    x = moment.x.detach().requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(F.cross_entropy(moment.still(x), moment.y, reduction="sum"), x)
    return slope.abs()


def _start(box: Interval, weight: Tensor, count: int) -> Hybrid:
    """The box with a symbol for each of its `count` heaviest coordinates, for each example its own."""
    radius, flat = box.radius.flatten(1), weight.flatten(1)
    chosen = flat.topk(min(count, flat.shape[1]), 1).indices
    symbols = radius.new_zeros(len(chosen), chosen.shape[1], radius.shape[1])
    symbols = symbols.scatter(2, chosen.unsqueeze(2), radius.gather(1, chosen).unsqueeze(2))
    rest = radius.scatter(1, chosen, 0.0)
    return Hybrid(box.center, symbols.reshape(*chosen.shape, *box.lower.shape[1:]), rest.reshape(box.lower.shape))


class _Walk:
    """Front to back."""

    def __init__(self, moment: Moment) -> None:
        self.moment, self.graph, self.constants = moment, moment.graph, moment.graph.constants()
        self.known: dict[str, Hybrid] = {}

    def run(self, start: Hybrid) -> Hybrid:
        """The value of the output."""
        self.known[self.graph.input] = start
        for node in self.graph.varying:
            operation = node.operation
            self.known[node.name] = self._affine(node) if isinstance(operation, Affine) else self._bent(node)
        return self.known[self.graph.output]

    def _affine(self, node: Node) -> Hybrid:
        """Centers and symbols by the layer itself, the reach by its interval rule round zero."""
        operation = node.operation
        assert isinstance(operation, Affine)
        given = self.graph.arguments(node, self.constants)
        inputs = [self.known[i] for i in node.inputs if self.graph.node[i].varies]
        term = operation.constant_term(given, self.graph.shapes(node))

        def applied(values: list[Tensor]) -> Tensor:
            rest = iter(values)
            return operation.forward(*(next(rest) if g is None else g for g in given))

        rest = iter([Interval(-z.reach, z.reach) for z in inputs])
        reach = operation.interval(*(next(rest) if g is None else g for g in given)).radius
        center, count = applied([z.center for z in inputs]), inputs[0].symbols.shape[:2]
        if not count[1]:  # a constant beside no symbols has no batch to stand in
            return Hybrid(center, center.new_zeros(*count, *center.shape[1:]), reach)
        linear = applied([z.symbols.flatten(0, 1) for z in inputs])
        return Hybrid(center, (linear if term is None else linear - term.to(linear)).unflatten(0, count), reach)

    def _bent(self, node: Node) -> Hybrid:
        operation, names = node.operation, [i for i in node.inputs if self.graph.node[i].varies]
        assert isinstance(operation, Nonlinear)
        if not operation.coordinatewise or len(names) != 1:
            raise UnsupportedError(f"`hybrid-zonotope` takes functions of one number, not `{node.name}` ({operation})")
        before = self.known[names[0]]
        ends = before.interval
        if isinstance(operation, Relu):
            return _rectified(before, ends)
        ends = ends.intersect(self.moment.intervals[names[0]], node.name)  # these alone never leave a domain such as log's
        with placed(node):
            lines = operation.relax(*arguments(self.graph, node, {names[0]: ends}, self.constants), slope="parallel")
        slope, low, high = lines.lower.slopes[0], lines.lower.offset, lines.upper.offset
        reach = before.reach * slope.abs() + (high - low) / 2
        return Hybrid(before.center * slope + (low + high) / 2, before.symbols * slope.unsqueeze(1), reach)


def _rectified(before: Hybrid, ends: Interval) -> Hybrid:
    """The switch of DiffAI: units that are mostly on keep their symbols, shifted; units that are mostly off become a box."""
    lower, upper = ends.lower, ends.upper
    off, on = upper <= 0, lower >= 0
    box = ~on & ~off & (upper <= -lower)
    kept, half = (~off & ~box).to(lower), torch.where(on | off, torch.zeros_like(lower), upper / 2)
    shift = torch.where(on | off | box, half, -lower / 2)
    return Hybrid(before.center * kept + shift, before.symbols * kept.unsqueeze(1), before.reach * kept + shift)
