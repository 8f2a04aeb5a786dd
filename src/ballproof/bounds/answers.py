"""From a method's settings to the function that answers queries by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from ballproof.bounds.alpha import alpha_lower
from ballproof.bounds.elision import elided
from ballproof.bounds.interval import bends_pass, interval_pass, prepared_bends
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import (
    AlphaMethod,
    Intersection,
    IntervalMethod,
    LinearMethod,
    LPMethod,
    Method,
    SDPMethod,
    ZonotopeMethod,
    method_named,
)
from ballproof.bounds.zonotope import ZonotopePass, zonotope_lower
from ballproof.graph import Graph, Snapshot
from ballproof.problems import Region
from ballproof.values import Interval

Answer = Callable[[Graph, Region, Tensor, Budget], Tensor]
"""graph, region, queries `(batch or 1, query, *output)`, budget -> proven lower values `(batch, query)`."""

Ends = Callable[[Graph, Region, Budget], Interval]
"""graph, region, budget -> the proven ends of every output, `(batch, *output)`."""


def answer_of(method: Method) -> Answer:  # noqa: PLR0911
    """Who answers queries by this method."""
    match method:
        case IntervalMethod():
            return _interval_lower
        case ZonotopeMethod():
            return zonotope_lower
        case LinearMethod():
            return lambda graph, region, rows, budget: _linear_lower(graph, region, method, rows, budget)
        case AlphaMethod():
            return lambda graph, region, rows, budget: alpha_lower(graph, region, method, rows, budget)
        case LPMethod():
            from ballproof.bounds.lp import lp_lower

            return lambda graph, region, rows, budget: lp_lower(graph, region, method, rows, budget)
        case SDPMethod():
            return lambda graph, region, rows, budget: _sdp_lower(graph, region, method, rows, budget)
        case Intersection():
            answers = [answer_of(method_named(name)) for name in method.methods]
            return lambda graph, region, rows, budget: reduce(
                torch.maximum, (answer(graph, region, rows, budget) for answer in answers)
            )


def margins_of(method: Method, graph: Graph) -> Answer | None:
    """Who answers margins of labels `(batch or 1,)` by this method without their coefficients; None if nobody does."""
    known = isinstance(method, IntervalMethod) and isinstance(graph, Snapshot) and graph.head is not None
    return _interval_margins if known else None


def ends_of(method: Method) -> Ends:
    """Who gives the ends of every output by this method."""
    match method:
        case IntervalMethod():
            return lambda graph, region, budget: interval_pass(graph, region.box())[graph.output]
        case ZonotopeMethod():
            return lambda graph, region, budget: ZonotopePass(graph, region, budget).run()[graph.output].interval(region)
        case LinearMethod():
            return lambda graph, region, budget: _linear_ends(graph, region, method, budget)
    return lambda graph, region, budget: _by_queries(graph, region, answer_of(method), budget)


def _by_queries(graph: Graph, region: Region, answer: Answer, budget: Budget) -> Interval:
    """One query for each end of each coordinate."""
    count = int(torch.Size(graph.output_shape).numel())
    rows = torch.eye(count, dtype=region.dtype, device=region.device).reshape(1, count, *graph.output_shape)
    both = answer(graph, region, torch.cat([rows, -rows], 1), budget)
    lower, upper = both[:, :count], -both[:, count:]
    return Interval(lower.reshape(-1, *graph.output_shape), upper.reshape(-1, *graph.output_shape))


def _linear_ends(graph: Graph, region: Region, method: LinearMethod, budget: Budget) -> Interval:
    state = LinearPass(graph, region, method, budget).run()
    if graph.output in state.exact:
        return state.intervals[graph.output]
    found = state.every_coordinate(graph.output)
    return found.intersect(state.intervals[graph.output], graph.output) if method.intersect else found


def _interval_lower(graph: Graph, region: Region, rows: Tensor, budget: Budget) -> Tensor:
    """The interval pass with the queries folded into the last layer where that is affine (elision)."""
    constants = graph.constants()
    return elided(graph, region, rows, bends_pass(graph, region, constants), constants)


def _interval_margins(graph: Graph, region: Region, labels: Tensor, budget: Budget) -> Tensor:
    """The same for the margins of labels, whose coefficients at the last bend a snapshot keeps."""
    assert isinstance(graph, Snapshot) and graph.head is not None
    graph.constants()  # refuses weights that were written to
    return graph.head.least(prepared_bends(graph, region).known[graph.head.start], labels)


def _linear_lower(graph: Graph, region: Region, method: LinearMethod, rows: Tensor, budget: Budget) -> Tensor:
    state = LinearPass(graph, region, method, budget).run()
    found = state.lower(graph.output, rows)
    return torch.maximum(found, elided(graph, region, rows, state.intervals, state.constants)) if method.intersect else found


def _sdp_lower(graph: Graph, region: Region, method: SDPMethod, rows: Tensor, budget: Budget) -> Tensor:
    """On `crown` intervals and never below `crown`; computed in float64 on the CPU. No gradient."""
    from ballproof.bounds.sdp import sdp_lower

    with torch.no_grad():
        exact, wide = graph.to(device="cpu", dtype=torch.float64), region.to(device="cpu", dtype=torch.float64)
        state = LinearPass(exact, wide, LinearMethod("adaptive"), budget).run()
        asked = rows.detach().double().cpu()
        found = sdp_lower(exact, wide, state.intervals, asked, steps=method.steps)
        best = torch.maximum(found, state.lower(exact.output, asked))
        best = torch.maximum(best, elided(exact, wide, asked, state.intervals, state.constants))
    return best.to(device=region.device, dtype=region.dtype)
