"""Free slopes, optimised for the queries (alpha-CROWN): any slope is sound, so the best of all steps is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ballproof.bounds.backward import Backward, matters
from ballproof.bounds.interval import arguments
from ballproof.bounds.linear import LinearPass, chosen, rowwise
from ballproof.bounds.local import LocalBackward, Sight
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import AlphaMethod, LinearMethod
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.base import Argument, unit_rows
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import Region
from ballproof.values import Interval, Relaxation

MOMENTS = 0.9, 0.999
"""Adam's, as everybody has them."""

COPIES = 12
"""Tensors of the size of a node that one step holds: slopes, gradient, two moments, and what autograd keeps."""


@dataclass
class Free:
    """The free parameters of one nonlinear node, `(batch, query or 1, ...)` each, with Adam's moments."""

    node: Node
    operation: Nonlinear
    given: list[Argument]
    values: tuple[Tensor, ...]
    scales: tuple[float, ...]
    moments: list[tuple[Tensor, Tensor]]

    @staticmethod
    def of(node: Node, operation: Nonlinear, given: list[Argument], queries: int) -> Free | None:
        """The parameters at the adaptive lines; None where nothing is free."""
        start = operation.start(*given)
        if not start:
            return None
        wide: list[Argument] = [
            Interval(g.lower.unsqueeze(1), g.upper.unsqueeze(1)) if isinstance(g, Interval) else g for g in given
        ]
        values = tuple(p.detach().unsqueeze(1).expand(-1, queries, *p.shape[1:]).clone() for p in start)
        scales = tuple(max(float(p.abs().amax()), 1e-3) for p in values)
        return Free(node, operation, wide, values, scales, [(torch.zeros_like(p), torch.zeros_like(p)) for p in values])

    def relaxation(self) -> Relaxation:
        return self.operation.relax(*self.given, slope=self.values)

    def step(self, gradients: list[Tensor], number: int, rate: float) -> None:
        """One step of Adam upwards, back into the parameters' range."""
        first, second = MOMENTS
        for value, scale, gradient, (mean, square) in zip(self.values, self.scales, gradients, self.moments, strict=True):
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            size = (square / (1 - second**number)).sqrt_().add_(1e-30)
            value.addcdiv_(mean, size, value=rate * scale / (1 - first**number))
        self.operation.confine(self.values)

    def learn(self, on: bool) -> list[Tensor]:
        """The parameters, with or without a record of what is done with them."""
        return [p.requires_grad_(on) for p in self.values]

    def of_examples(self, keep: Tensor) -> Free:
        """Only some examples."""
        given: list[Argument] = [g[keep] if isinstance(g, Interval) else g for g in self.given]
        moments = [(m[keep], s[keep]) for m, s in self.moments]
        return replace(self, given=given, values=tuple(v[keep] for v in self.values), moments=moments)


class Ascent:
    """The optimisation of some queries at one node, on fixed intermediate intervals."""

    def __init__(self, state: LinearPass, name: str, cotangent: Tensor, method: AlphaMethod) -> None:
        self.graph, self.name, self.method = state.graph.until(name), name, method
        self.region, self.constants = state.region, {k: v.detach() for k, v in state.constants.items()}
        self.cotangent, self.fixed = cotangent, dict(state.relaxations)
        queries = 1 if method.shared else cotangent.shape[1]
        self.free: list[Free] = []
        for node in self.graph.varying:
            if isinstance(node.operation, Nonlinear):
                given = arguments(self.graph, node, state.intervals, self.constants)
                found = Free.of(node, node.operation, list(given), queries)
                self.free += [found] if found else []

    def run(self) -> Tensor:
        """The best proven lower values found, `(batch, query)`."""
        best = torch.full((self.region.batch, self.cotangent.shape[1]), -torch.inf, dtype=self.region.dtype)
        best = best.to(self.region.device)
        active = torch.arange(self.region.batch, device=self.region.device)
        rate = self.method.rate
        for number in range(1, self.method.steps + 2):
            last = number > self.method.steps or not self.free
            values, gradients = self._evaluate(not last)
            best[active] = torch.maximum(best[active], values)
            if last:
                break
            keep = self._undecided(best[active])
            if not bool(keep.any()):
                break
            for free, gradient in zip(self.free, gradients, strict=True):
                free.step(gradient, number, rate)
            rate *= self.method.decay
            if not bool(keep.all()):
                active = active[keep]
                self._compact(keep)
        return best

    def _undecided(self, best: Tensor) -> Tensor:
        if self.method.stop is None:
            return torch.ones(len(best), dtype=torch.bool, device=best.device)
        return (best <= self.method.stop).any(1)

    def _compact(self, keep: Tensor) -> None:
        """Drop the examples that are decided."""
        self.region = self.region[keep]
        self.free = [f.of_examples(keep) for f in self.free]
        self.cotangent = self.cotangent if len(self.cotangent) == 1 else self.cotangent[keep]
        self.fixed = {name: _some(relaxation, keep) for name, relaxation in self.fixed.items()}

    def _evaluate(self, with_gradients: bool) -> tuple[Tensor, list[list[Tensor]]]:
        """The bounds of the present slopes, and their gradients."""
        parameters = [p for free in self.free for p in free.learn(with_gradients)]
        with torch.set_grad_enabled(with_gradients):
            relaxations = {**self.fixed, **{f.node.name: f.relaxation() for f in self.free}}
            values, _ = Backward(self.graph, self.region, self.constants, relaxations)(self.name, self.cotangent, both=False)
            total = values.sum()  # with a cotangent of its own torch would import a second's worth of modules
        if not with_gradients:
            return values, []
        found = iter(torch.autograd.grad(total, parameters, materialize_grads=True))
        gradients = [[next(found) for _ in free.values] for free in self.free]
        for free in self.free:
            free.learn(False)
        return values.detach(), gradients


class FreeWindows(LocalBackward):
    """The same optimisation for the neurons of a convolution: every query has slopes of its own in the windows it sees."""

    def best(self, place: Tensor, channel: Tensor, sign: float, method: AlphaMethod) -> Tensor:
        """The best proven lower values found of `sign` times the neurons, `(query,)`."""
        signs = torch.full((len(place),), sign, dtype=self.box.lower.dtype, device=place.device)
        self.place, self.free = place, {}
        for node in self.seen.nodes:
            if isinstance(node.operation, Scalar):
                self.free[node.name] = self._freed(node, node.operation)
        best, rate = torch.full_like(signs, -torch.inf), method.rate
        for number in range(1, method.steps + 2):
            last = number > method.steps
            parameters = [p for free in self.free.values() for p in free.learn(not last)]
            with torch.set_grad_enabled(not last):
                values = self._value(place, channel, signs)
                total = values.sum()
            best = torch.maximum(best, values.detach())
            if last:
                break
            found = iter(torch.autograd.grad(total, parameters, materialize_grads=True))
            for free in self.free.values():
                free.learn(False)
                free.step([next(found) for _ in free.values], number, rate)
            rate *= method.decay
        return best

    def _freed(self, node: Node, operation: Scalar) -> Free:
        name = next(i for i in node.inputs if self.graph.node[i].varies)
        ends = self.intervals[name]
        x = Interval(self._cut("low", name, lambda: ends.lower), self._cut("high", name, lambda: ends.upper))
        values = tuple(p.clone() for p in operation.start(x))
        scales = tuple(max(float(p.abs().amax()), 1e-3) for p in values)
        return Free(node, operation, [x], values, scales, [(torch.zeros_like(p), torch.zeros_like(p)) for p in values])

    def _value(self, place: Tensor, channel: Tensor, sign: Tensor) -> Tensor:
        self._begin(place, channel, sign)
        for node in self.seen.nodes:
            self._through(node)
        return self._concretise().lower

    def _lines(self, node: Node, relaxation: Relaxation) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        found = self.free[node.name].relaxation()
        below, above = found.lower, found.upper
        under = below.offset if matters(below.offset) else None
        return below.slopes[0], above.slopes[0] - below.slopes[0], above.offset, under


def _some(relaxation: Relaxation, keep: Tensor) -> Relaxation:
    lines = [
        replace(line, slopes=tuple(_rows(s, keep) for s in line.slopes), offset=_rows(line.offset, keep))
        for line in (relaxation.lower, relaxation.upper)
    ]
    return Relaxation(lines[0], lines[1], relaxation.parallel)


def _rows(value: Tensor, keep: Tensor) -> Tensor:
    return value if value.shape[0] == 1 and len(keep) != 1 else value[keep]


class AlphaPass(LinearPass):
    """A linear pass whose intermediate bounds, and the queries that follow, have optimised slopes."""

    def __init__(self, graph: Graph, region: Region, method: AlphaMethod, budget: Budget) -> None:
        self.alpha = method
        super().__init__(graph, region, _base(method), budget)

    def _tighten(self, name: str, node: Node, operation: Nonlinear) -> None:
        """What the adaptive lines leave unsettled is optimised, if the method says so."""
        if self.alpha.intermediate != "same" or not bool((mask := self.unsettled(name, node, operation)).any()):
            return
        known, every = self.intervals[name], replace(self.alpha, stop=None, steps=self.alpha.inner)
        if (seen := self._sight(name)) is not None:
            ends = [self._by_free_windows(seen, mask, sign, every) for sign in (1.0, -1.0)]
            lower, upper = known.lower.masked_scatter(mask, ends[0]), known.upper.masked_scatter(mask, -ends[1])
        else:
            index = chosen(mask)
            rows = unit_rows(index, self.graph.node[name].shape, self.region.like)
            ends = [self.optimised(name, sign * rows, every) for sign in (1.0, -1.0)]
            lower = rowwise(known.lower).scatter(1, index, ends[0]).reshape(known.lower.shape)
            upper = rowwise(known.upper).scatter(1, index, -ends[1]).reshape(known.upper.shape)
        self.intervals[name] = Interval(lower, upper).intersect(known, name)

    def _by_free_windows(self, seen: Sight, mask: Tensor, sign: float, method: AlphaMethod) -> Tensor:
        """The best lower values of `sign` times the neurons in the mask, in its order."""
        walk = FreeWindows(self.graph, seen, self.region.box(), self.constants, self.relaxations, self.intervals)
        asked, size = torch.stack(seen.places(mask)), sum(w.count for w in seen.windows.values()) * COPIES // 6
        found = self.budget.over_queries(lambda p: walk.best(p[0], p[1], sign, method), asked, 1, size, self.region.dtype)
        return torch.cat(found)

    def of_examples(self, keep: Tensor) -> AlphaPass:
        """The same pass, done, on some of its examples."""
        part = AlphaPass(self.graph, self.region[keep], self.alpha, self.budget)
        part.intervals.update({name: i[keep] for name, i in self.intervals.items()})
        part.relaxations.update({name: _some(r, keep) for name, r in self.relaxations.items()})
        return part

    def optimised(self, name: str, cotangent: Tensor, method: AlphaMethod) -> Tensor:
        """Proven lower values of the queries `(batch or 1, query, *node)` at a node, `(batch, query)`."""
        size = sum(torch.Size(n.shape).numel() for n in self.graph.until(name).nodes if n.varies) * COPIES // 6
        ask: Callable[[Tensor], Tensor] = lambda part: Ascent(self, name, part, method).run()  # noqa: E731
        return torch.cat(self.budget.over_queries(ask, cotangent, self.region.batch, size, self.region.dtype), 1)


def _base(method: AlphaMethod) -> LinearMethod:
    return LinearMethod("adaptive", intermediate="interval" if method.intermediate == "interval" else "same")


def alpha_lower(graph: Graph, region: Region, method: AlphaMethod, cotangent: Tensor, budget: Budget) -> Tensor:
    """Never below `crown` on the same intervals; no gradient. Price: a forward and a backward pass a step and a query."""
    with torch.no_grad():
        state = AlphaPass(graph, region, method, budget)
        state.run()
        elided = state.backward.on_intervals(graph.output, cotangent, state.intervals)
        best = torch.maximum(state.lower(graph.output, cotangent), elided)
        if method.intermediate == "same":  # other intervals have other adaptive lines, which may be worse for a query
            best = torch.maximum(best, LinearPass(graph, region, _base(method), budget).run().lower(graph.output, cotangent))
        if method.stop is not None:
            open_ = (best <= method.stop).any(1).nonzero().flatten()
        else:
            open_ = torch.arange(region.batch, device=region.device)
        if len(open_):
            part = state.of_examples(open_)
            rows = cotangent if len(cotangent) == 1 else cotangent[open_]
            best[open_] = torch.maximum(best[open_], part.optimised(graph.output, rows, method))
        return best
