"""The dual bound with random projections (Wong et al. 2018): an ESTIMATE for training, which proves nothing.

The sums of absolute values behind the dual bounds are not computed term by term. With R standard Cauchy numbers,
`median |sum c R|` over a few draws estimates `sum |c|`; with R normal, the root of the mean square estimates the Euclidean
norm. So one forward walk of a few random combinations takes the place of one walk for each coordinate of the input and each
unsettled unit. All examples of a batch share the draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ballproof.bounds.interval import arguments, exact_on_boxes, interval_pass, placed
from ballproof.errors import UnsupportedError
from ballproof.graph import Node
from ballproof.operations import Affine, Nonlinear
from ballproof.train.losses.moment import Moment, worst_cross_entropy
from ballproof.values import Interval

LEAST, FARTHEST = 1e-12, 1e4


def dual_projected(moment: Moment) -> Tensor:
    """Cross-entropy at the estimated margins, by `projections` draws; an L2 ball is taken whole, not cut with the range.

    Price: about so many plain steps of one example each.
    """
    return worst_cross_entropy(estimated_margins(moment))


def estimated_margins(moment: Moment) -> Tensor:
    """Estimates of the margins that `dual` proves, `(batch, classes - 1)`; above or below them, and no certificate."""
    found = _Walk(moment).run()[moment.graph.output]
    margin = (moment.rows @ found.center.unsqueeze(2)).squeeze(2)
    return margin - found.folded(lambda c: torch.einsum("kbc,bqc->kbq", c, moment.rows)).radius()


@dataclass(frozen=True)
class Spread:
    """Values `center` with random combinations of what may move them: `noise` (Cauchy) of intervals, `ball` (normal) of a
    Euclidean ball, each `(draws, batch, *node)`."""

    center: Tensor
    noise: Tensor | None
    ball: Tensor | None

    def folded(self, change) -> Spread:  # type: ignore[no-untyped-def]
        """The combinations of linear functions of the values."""
        return Spread(self.center, *(None if c is None else change(c) for c in (self.noise, self.ball)))

    def radius(self) -> Tensor:
        """The estimated half-width."""
        parts = [] if self.noise is None else [self.noise.abs().median(0).values]
        parts += [] if self.ball is None else [self.ball.square().mean(0).clamp(min=LEAST).sqrt()]
        return sum(parts[1:], parts[0])


class _Walk:
    """Front to back: centers and their random combinations through parallel lines."""

    def __init__(self, moment: Moment) -> None:
        self.moment, self.graph, self.region = moment, moment.graph, moment.region
        self.constants, self.draws = self.graph.constants(), moment.config.projections
        if self.region.norm == "l1":
            raise UnsupportedError("`dual-projected` estimates for linf and l2 balls, not for l1")
        euclidean = self.region.norm == "l2"
        box = self.region.box()
        self.exact = set() if euclidean else exact_on_boxes(self.graph)
        self.boxes = interval_pass(self.graph, box, self.constants) if self.exact else {}
        if euclidean:
            radius = torch.full_like(box.center, moment.eps)
            start = Spread(moment.x, None, self._normal(radius))
        else:
            start = Spread(box.center, self._cauchy(box.radius), None)
        self.known = {self.graph.input: start}

    def run(self) -> dict[str, Spread]:
        for node in self.graph.varying:
            step = self._affine if isinstance(node.operation, Affine) else self._bend
            self.known[node.name] = step(node)
        return self.known

    def _cauchy(self, radius: Tensor) -> Tensor:
        shape = (self.draws, 1, *radius.shape[1:])
        uniform = torch.rand(shape, generator=self.moment.generator, dtype=radius.dtype).to(radius.device)
        return torch.tan(math.pi * (uniform - 0.5)).clamp(-FARTHEST, FARTHEST) * radius

    def _normal(self, radius: Tensor) -> Tensor:
        shape = (self.draws, 1, *radius.shape[1:])
        return torch.randn(shape, generator=self.moment.generator, dtype=radius.dtype).to(radius.device) * radius

    def _affine(self, node: Node) -> Spread:
        operation = node.operation
        assert isinstance(operation, Affine)
        given = self.graph.arguments(node, self.constants)
        names = [i for i in node.inputs if self.graph.node[i].varies]
        term = operation.constant_term(given, self.graph.shapes(node))

        def applied(values: list[Tensor]) -> Tensor:
            rest = iter(values)
            found: Tensor = operation.forward(*(next(rest) if g is None else g for g in given))
            return found

        def combined(parts: list[Tensor | None]) -> Tensor | None:
            if all(p is None for p in parts):
                return None
            like = next(p for p in parts if p is not None)
            zeros = [
                like.new_zeros(*like.shape[:2], *self.graph.node[n].shape) if p is None else p
                for n, p in zip(names, parts, strict=True)
            ]
            value = applied([z.flatten(0, 1) for z in zeros])
            found: Tensor = (value if term is None else value - term.to(value)).unflatten(0, like.shape[:2])
            return found

        inputs = [self.known[n] for n in names]
        return Spread(
            applied([s.center for s in inputs]), combined([s.noise for s in inputs]), combined([s.ball for s in inputs])
        )

    def _bend(self, node: Node) -> Spread:
        operation = node.operation
        assert isinstance(operation, Nonlinear)
        name = node.inputs[0]
        if not operation.coordinatewise or len([i for i in node.inputs if self.graph.node[i].varies]) != 1:
            raise UnsupportedError(f"`dual-projected` takes functions of one number, not `{node.name}` ({operation})")
        spread = self.known[name]
        ends = {name: self.boxes[name] if name in self.exact else self._interval(spread)}
        with placed(node):
            lines = operation.relax(*arguments(self.graph, node, ends, self.constants), slope="parallel")
        slope, low, high = lines.lower.slopes[0], lines.lower.offset, lines.upper.offset
        fresh = self._cauchy((high - low) / 2)
        noise = fresh if spread.noise is None else spread.noise * slope + fresh
        return Spread(spread.center * slope + (low + high) / 2, noise, None if spread.ball is None else spread.ball * slope)

    def _interval(self, spread: Spread) -> Interval:
        radius = spread.radius()
        return Interval(spread.center - radius, spread.center + radius)
