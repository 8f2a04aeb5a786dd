"""`bound`, `lower_bounds`, `margins` and `linear_bounds`: the questions a user asks, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ballproof.bounds.answers import Answer, answer_of, ends_of, margins_of
from ballproof.bounds.backward import Cotangents
from ballproof.bounds.interval import interval_pass
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import LinearMethod, Method, method_named
from ballproof.errors import DomainError, InputError, SoundnessError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Region, classified_as
from ballproof.problems.checks import finite
from ballproof.values import Interval, Line

Device = torch.device | str | None


def bound(
    network: nn.Module | Graph,
    region: Region,
    method: str | Method = "crown",
    node: str | None = None,
    memory: int | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Interval:
    """Proven ends of every output (or of the inner node named `node`) over the region, `(batch, *output)`.

    method: a name from `METHODS`, names joined by `+` for their intersection, or settings. memory: working memory in
    bytes; the answer does not depend on it. device, dtype: where and in which floating type to compute, in place of those of
    the network and the region, which agree; the numbers of both are rounded to it, and are then what the bounds are about.
    Float rounding is not included: the ends are exact up to the rounding of the arithmetic they were computed in. Raises
    `DomainError` where an operation is not defined or not bounded.
    """
    graph, region = _placed(network, region, device, dtype)
    graph = graph if node is None else graph.until(node)
    ends, budget = ends_of(method_named(method)), Budget(memory)
    parts = [ends(graph, part, budget) for part in _split(graph, region, budget)]
    found = Interval(torch.cat([p.lower for p in parts]), torch.cat([p.upper for p in parts]))
    _finite(found.lower + found.upper, graph, region)
    return found.checked(graph.output)


def lower_bounds(
    network: nn.Module | Graph,
    region: Region,
    coefficients: Tensor,
    method: str | Method = "crown",
    memory: int | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Proven lower values of `coefficients · output` over the region, `(batch, query)`.

    coefficients: `(batch or 1, query, *output)`. memory, device, dtype: as for `bound`. Differentiable in the parameters for
    the methods in `TRAINABLE`. Raises `InputError` for another shape.
    """
    return _lower_bounds(*_placed(network, region, device, dtype), coefficients, method, memory)


def _lower_bounds(graph: Graph, region: Region, coefficients: Tensor, method: str | Method, memory: int | None) -> Tensor:
    answer, budget = answer_of(method_named(method)), Budget(memory)
    wanted = tuple(coefficients.shape[2:]) == tuple(graph.output_shape) and coefficients.ndim >= 2
    if not wanted or len(coefficients) not in (1, region.batch):
        told = f"`coefficients` has shape {tuple(coefficients.shape)}"
        raise InputError(f"{told}, expected (1 or {region.batch}, queries, {', '.join(map(str, graph.output_shape))})")
    return _together(answer, graph, region, coefficients.to(device=region.device, dtype=region.dtype), budget)


def _together(answer: Answer, graph: Graph, region: Region, asked: Tensor, budget: Budget) -> Tensor:
    """The answers of all parts, if they are finite."""
    parts = [answer(graph, part, own, budget) for part, own in _asked(graph, region, asked, budget)]
    found = parts[0] if len(parts) == 1 else torch.cat(parts)
    _finite(found, graph, region)
    return found


def margins(
    network: nn.Module | Graph,
    region: Region,
    labels: Tensor,
    method: str | Method = "crown",
    memory: int | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Proven lower bounds of logit y minus each other logit over the region, `(batch, classes - 1)`, classes in order.

    An example is certified when all of its margins are positive. memory, device, dtype: as for `bound`.
    """
    graph, region = _placed(network, region, device, dtype)
    if len(graph.output_shape) != 1:
        raise InputError(f"`network` gives outputs of shape {graph.output_shape}, expected (classes,) for `labels`")
    label, classes, answer = classified_as(labels), graph.output_shape[0], margins_of(method_named(method), graph)
    if answer is None or len(label.labels) not in (1, region.batch):
        return _lower_bounds(graph, region, label.margins(classes), method, memory)
    return _together(answer, graph, region, label.of(classes).to(region.device), Budget(memory))


@dataclass(frozen=True)
class LinearBounds:
    """`lower.slopes[0] · x + lower.offset <= node(x) <= upper.slopes[0] · x + upper.offset` for every x of the region.

    slopes: `(batch or 1, query, *input)`, the matrix A. offset: `(batch, query)`, the vector d. Queries are the node's
    coordinates, flattened, or those that were asked.
    """

    lower: Line
    upper: Line


def linear_bounds(
    network: nn.Module | Graph,
    region: Region,
    method: str | LinearMethod = "crown",
    node: str | None = None,
    coefficients: Tensor | None = None,
    memory: int | None = None,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> LinearBounds:
    """The linear functions of the input that enclose the outputs (or an inner node, or `coefficients · output`).

    coefficients: `(batch or 1, query, *node)`; every coordinate if absent. method: `dual`, `crown` or one of their
    hybrids. memory, device, dtype: as for `bound`. Differentiable in the parameters. Source: Zhang et al. 2018; the pull-back
    before it meets the region.
    """
    settings = method_named(method)
    if not isinstance(settings, LinearMethod):
        raise InputError(f"`method` is {method!r}, which has no lines to the input; expected dual, crown or a hybrid of them")
    graph, region = _placed(network, region, device, dtype)
    graph = graph if node is None else graph.until(node)
    count = int(torch.Size(graph.output_shape).numel())
    eye = torch.eye(count, dtype=region.dtype, device=region.device).reshape(1, count, *graph.output_shape)
    rows = eye if coefficients is None else coefficients.to(device=region.device, dtype=region.dtype)
    backward = LinearPass(graph, region, settings, Budget(memory)).run().backward
    found = backward.pulled(graph.output, rows, both=True)
    zeros = rows.new_zeros(1, rows.shape[1], *region.shape)
    found = found or Cotangents(zeros, zeros)
    assert found.upper is not None
    flat = rows.new_zeros(region.batch, rows.shape[1])
    lower = Line((found.lower,), flat + backward.offset_lower)
    return LinearBounds(lower, Line((found.upper,), flat + backward.offset_upper))


def _placed(network: nn.Module | Graph, region: Region, device: Device, dtype: torch.dtype | None) -> tuple[Graph, Region]:
    """The network and the region where they are to be computed with."""
    graph = as_graph(network, region)
    if device is None and dtype is None:
        return graph, region
    if dtype is not None and not dtype.is_floating_point:
        raise InputError(f"`dtype` is {dtype}, expected a floating type, as torch.float64")
    return graph.to(device, dtype), region.to(device, dtype)


def _asked(graph: Graph, region: Region, rows: Tensor, budget: Budget) -> list[tuple[Region, Tensor]]:
    """The parts of the region with their queries, or their labels."""
    found, start = [], 0
    for part in _split(graph, region, budget):
        found.append((part, rows if rows.shape[0] == 1 else rows[start : start + part.batch]))
        start += part.batch
    return found


def _split(graph: Graph, region: Region, budget: Budget) -> list[Region]:
    """The region in parts whose examples fit the memory budget together; whole under autograd, which keeps all anyway."""
    if torch.is_grad_enabled() and any(v.requires_grad for v in graph.values.values()):
        return [region]
    size = budget.examples(graph.widest, region.dtype)
    if region.batch <= size:
        return [region]
    return [region[start : start + size] for start in range(0, region.batch, size)]


def _finite(found: Tensor, graph: Graph, region: Region) -> None:
    """Raises where a bound is NaN or infinite, naming the first node at which numbers stop being finite."""
    if finite(found):
        return
    with torch.no_grad():
        for name, interval in interval_pass(graph, region.box()).items():
            if not bool((torch.isfinite(interval.lower) & torch.isfinite(interval.upper)).all()):
                raise DomainError(f"node `{name}`: the interval bounds overflow; make the region smaller or use float64")
    raise SoundnessError("a bound is NaN or infinite; are the weights and the inputs finite?")


__all__ = ["Answer", "LinearBounds", "bound", "linear_bounds", "lower_bounds", "margins"]
