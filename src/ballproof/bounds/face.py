"""`bound`, `margins` and `lower_bounds`: the questions a user asks, whatever the method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ballproof.bounds.interval import interval_pass
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import IntervalMethod, LinearMethod, LPMethod, Method, method_named
from ballproof.errors import InputError, SoundnessError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Region, classified_as
from ballproof.values import Interval


def bound(
    network: nn.Module | Graph,
    region: Region,
    method: str | Method = "crown",
    node: str | None = None,
    memory: int | None = None,
) -> Interval:
    """Proven ends of every output (or of the inner node named `node`) over the region, `(batch, *output)`.

    method: a name from `METHODS` or its settings. memory: working memory in bytes; the answer does not depend on it.
    Float rounding is not included: the ends are exact up to the rounding of the arithmetic they were computed in.
    """
    graph = as_graph(network, region)
    graph = graph if node is None else graph.until(node)
    count = _count(graph)
    rows = torch.eye(count, dtype=region.dtype, device=region.device).reshape(1, count, *graph.output_shape)
    if isinstance(settings := method_named(method), LPMethod):
        ends = [lower_bounds(graph, region, sign * rows, settings, memory) for sign in (1.0, -1.0)]
        return Interval(ends[0].reshape(-1, *graph.output_shape), -ends[1].reshape(-1, *graph.output_shape))
    parts = [_ends(graph, part, settings, Budget(memory)) for part in _split(graph, region, Budget(memory))]
    found = Interval(torch.cat([p.lower for p in parts]), torch.cat([p.upper for p in parts]))
    return found.checked(graph.output)


def _ends(graph: Graph, region: Region, method: IntervalMethod | LinearMethod, budget: Budget) -> Interval:
    if isinstance(method, IntervalMethod):
        return interval_pass(graph, region.box())[graph.output]
    state = LinearPass(graph, region, method, budget).run()
    if graph.output in state.exact:
        return state.intervals[graph.output]
    found = state.every_coordinate(graph.output)
    return found.intersect(state.intervals[graph.output], graph.output) if method.intersect else found


def lower_bounds(
    network: nn.Module | Graph,
    region: Region,
    coefficients: Tensor,
    method: str | Method = "crown",
    memory: int | None = None,
) -> Tensor:
    """Proven lower values of `coefficients · output` over the region, `(batch, query)`.

    coefficients: `(batch or 1, query, *output)`. Differentiable in the parameters for every method but `lp`.
    """
    graph, settings = as_graph(network, region), method_named(method)
    coefficients = coefficients.to(device=region.device, dtype=region.dtype)
    answer = _answer(settings)
    parts, start = [], 0
    for part in _split(graph, region, Budget(memory)):
        own = coefficients if coefficients.shape[0] == 1 else coefficients[start : start + part.batch]
        parts.append(answer(graph, part, own, Budget(memory)))
        start += part.batch
    found = torch.cat(parts)
    if bool(torch.isnan(found).any()):
        raise SoundnessError("a bound is NaN; are the weights and the inputs finite?")
    return found


def margins(
    network: nn.Module | Graph, region: Region, labels: Tensor, method: str | Method = "crown", memory: int | None = None
) -> Tensor:
    """Proven lower bounds of logit y minus each other logit over the region, `(batch, classes - 1)`, classes in order.

    An example is certified when all of its margins are positive.
    """
    graph = as_graph(network, region)
    if len(graph.output_shape) != 1:
        raise InputError(f"`network` gives outputs of shape {graph.output_shape}, expected (classes,) for `labels`")
    wanted = classified_as(labels).property(graph.output_shape[0])
    return lower_bounds(graph, region, wanted.coefficients, method, memory)


Answer = Callable[[Graph, Region, Tensor, Budget], Tensor]


def _answer(method: Method) -> Answer:
    if isinstance(method, IntervalMethod):
        return _interval_lower
    if isinstance(method, LPMethod):
        from ballproof.bounds.lp import lp_lower

        return lambda graph, region, rows, budget: lp_lower(graph, region, method, rows, budget)
    return lambda graph, region, rows, budget: _linear_lower(graph, region, method, rows, budget)


def _interval_lower(graph: Graph, region: Region, rows: Tensor, budget: Budget) -> Tensor:
    """The interval pass with the queries folded into the last layer where that is affine (elision)."""
    return elided(graph, region, rows, interval_pass(graph, region.box()))


def _linear_lower(graph: Graph, region: Region, method: LinearMethod, rows: Tensor, budget: Budget) -> Tensor:
    state = LinearPass(graph, region, method, budget).run()
    found = state.lower(graph.output, rows)
    if method.intersect:
        found = torch.maximum(found, elided(graph, region, rows, state.intervals))
    return found


def elided(graph: Graph, region: Region, rows: Tensor, intervals: dict[str, Interval]) -> Tensor:
    """Queries answered from intervals: pulled back through the last affine nodes, then taken on each node's interval."""
    from ballproof.bounds.backward import Backward

    return Backward(graph, region, graph.constants(), {}).on_intervals(graph.output, rows, intervals)


def _split(graph: Graph, region: Region, budget: Budget) -> list[Region]:
    """The region in parts whose examples fit the memory budget together; whole under autograd, which keeps all anyway."""
    if torch.is_grad_enabled() and any(v.requires_grad for v in graph.values.values()):
        return [region]
    widest = max(int(torch.Size(n.shape).numel()) for n in graph.nodes if n.varies)
    size = budget.examples(widest, region.dtype)
    if region.batch <= size:
        return [region]
    return [region[start : start + size] for start in range(0, region.batch, size)]


def _count(graph: Graph) -> int:
    return int(torch.Size(graph.output_shape).numel())
