"""Free slopes, optimised for the queries (alpha-CROWN), on intermediate intervals that are fixed or optimised too."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.bounds.ascent import FreeBackward, FreeWindows, climb, some
from ballproof.bounds.backward import rowwise
from ballproof.bounds.elision import elided
from ballproof.bounds.free import Free, opened, whole
from ballproof.bounds.interval import arguments
from ballproof.bounds.linear import LinearPass, chosen
from ballproof.bounds.local import Sight
from ballproof.bounds.memory import LIVE_COPIES, Budget
from ballproof.bounds.methods import AlphaMethod, LinearMethod
from ballproof.graph import Graph, Node
from ballproof.operations import Nonlinear
from ballproof.operations.base import unit_rows
from ballproof.operations.scalar import Scalar
from ballproof.problems.region import Region
from ballproof.values import Interval

COPIES = 4
"""Tensors of the size of each node that one step holds: a cotangent, what it becomes, and their gradients."""

CACHES = 4
"""How many times the cache's size the queries may take that climb together: fewer are too little work for so many steps."""


class AlphaPass(LinearPass):
    """A linear pass over the intervals that another one proved: what they leave unsettled is optimised, in `inner` steps."""

    def __init__(self, known: LinearPass, method: AlphaMethod) -> None:
        super().__init__(known.graph, known.region, known.method, known.budget)
        self.known, self.alpha = known.intervals, method

    def _settle(self, name: str, node: Node, operation: Nonlinear) -> None:
        if name in self.settled or name in self.exact:
            return
        self.settled.add(name)
        known = self.intervals[name].intersect(self.known[name], name)
        self.intervals[name] = known
        if bool((mask := self.unsettled(name, node, operation)).any()):
            self.intervals[name] = self._tightened(name, known, mask)

    def _tightened(self, name: str, known: Interval, mask: Tensor) -> Interval:
        if (seen := self._sight(name)) is not None:
            ends = [self._by_free_windows(seen, mask, sign) for sign in (1.0, -1.0)]
            lower, upper = known.lower.masked_scatter(mask, ends[0]), known.upper.masked_scatter(mask, -ends[1])
        else:
            index = chosen(mask)
            rows = unit_rows(index, self.graph.node[name].shape, self.region.like)
            ends = [optimised(self, name, sign * rows, self.alpha, inner=True) for sign in (1.0, -1.0)]
            lower = rowwise(known.lower).scatter(1, index, ends[0]).reshape(known.lower.shape)
            upper = rowwise(known.upper).scatter(1, index, -ends[1]).reshape(known.upper.shape)
        return Interval(lower, upper).intersect(known, name)

    def _by_free_windows(self, seen: Sight, mask: Tensor, sign: float) -> Tensor:
        """The best lower values of `sign` times the neurons in the mask, in its order."""
        walk = FreeWindows(self.graph, seen, self.region.box(), self.constants, self.relaxations, self.intervals)

        def ask(part: Tensor) -> Tensor:
            walk.start(part[0], part[1], sign)
            return climb(walk, self.alpha, inner=True)

        asked, size = torch.stack(seen.places(mask)), sum(w.count for w in seen.windows.values()) * COPIES // LIVE_COPIES
        return torch.cat(self.budget.over_queries(ask, asked, 1, size, self.region.dtype, CACHES))


def optimised(state: LinearPass, name: str, cotangent: Tensor, method: AlphaMethod, inner: bool = False) -> Tensor:
    """Proven lower values of the queries `(batch or 1, query, *node)` at a node, `(batch, query)`."""
    graph, constants = state.graph.until(name), {k: v.detach() for k, v in state.constants.items()}

    def ask(part: Tensor) -> Tensor:
        free = {n.name: f for n in graph.varying if (f := _free(state, n, constants, 1 if method.shared else part.shape[1]))}
        walk = FreeBackward(graph, state.region, constants, state.relaxations, free)
        walk.begin(name, part)
        return climb(walk, method, inner)

    size = sum(torch.Size(n.shape).numel() for n in graph.nodes if n.varies) * COPIES // LIVE_COPIES
    return torch.cat(state.budget.over_queries(ask, cotangent, state.region.batch, size, state.region.dtype, CACHES), 1)


def _free(state: LinearPass, node: Node, constants: dict[str, Tensor], queries: int) -> Free | None:
    """The parameters of a node, if it has some."""
    if not isinstance(node.operation, Nonlinear):
        return None
    given = list(arguments(state.graph, node, state.intervals, constants))
    same = all(state.graph.node[i].shape == node.shape for i in node.inputs if state.graph.node[i].varies)
    if isinstance(node.operation, Scalar) and same:
        return opened(node, node.operation, given, state.relaxations[node.name], queries)
    return whole(node, node.operation, given, queries)


def of_examples(state: LinearPass, keep: Tensor) -> LinearPass:
    """The same pass, done, on the examples of a mask."""
    part = LinearPass(state.graph, state.region[keep], state.method, state.budget)
    part.intervals.update({name: i[keep] for name, i in state.intervals.items()})
    part.relaxations.update({name: some(r, keep) for name, r in state.relaxations.items()})
    return part


def alpha_lower(graph: Graph, region: Region, method: AlphaMethod, cotangent: Tensor, budget: Budget) -> Tensor:
    """Never below `crown` on the same intervals; no gradient. Price: a forward and a backward pass a step and a query."""
    with torch.no_grad():
        state = LinearPass(graph, region, _base(method), budget).run()
        best = _straight(state, cotangent)
        open_ = torch.ones_like(best[:, 0], dtype=torch.bool) if method.stop is None else (best <= method.stop).any(1)
        if not bool(open_.any()):
            return best
        part, rows = of_examples(state, open_), cotangent if len(cotangent) == 1 else cotangent[open_]
        if method.intermediate == "same":
            part = AlphaPass(part, method).run()
            best[open_] = torch.maximum(best[open_], _straight(part, rows))
        best[open_] = torch.maximum(best[open_], optimised(part, graph.output, rows, method))
        return best


def _straight(state: LinearPass, cotangent: Tensor) -> Tensor:
    """What the adaptive lines and the intervals prove."""
    found = state.lower(state.graph.output, cotangent)
    return torch.maximum(found, elided(state.graph, state.region, cotangent, state.intervals, state.constants))


def _base(method: AlphaMethod) -> LinearMethod:
    return LinearMethod("adaptive", intermediate="interval" if method.intermediate == "interval" else "same")
