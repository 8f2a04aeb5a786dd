"""How tight the proven intervals are, layer by layer: where a proof loses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ballproof.bounds.interval import interval_pass
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import IntervalMethod, LinearMethod, ZonotopeMethod, method_named
from ballproof.data import Dataset
from ballproof.evaluate.certify import CertifySettings
from ballproof.evaluate.rows import evaluating
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.operations import Nonlinear
from ballproof.problems import Region, ball
from ballproof.values import Interval

TIGHTNESS, EXAMPLES, SAMPLES = "tightness.json", 8, 64


def tightness(
    network: nn.Module | Graph, data: Dataset, settings: CertifySettings, count: int = EXAMPLES
) -> list[dict[str, Any]]:
    """One entry for each node that a nonlinear one takes, front to back, on the first examples.

    Keys: layer, neurons, examples, sampled (mean width of the range that `SAMPLES` points of the ball reach, which is at most
    the true one), and by method `width` (mean width of the proven interval) and `undecided` (the share of neurons that the
    relaxation after it is not exact on). Methods: intervals, and the lines that `settings.method` stands on.
    """
    part = data.subset(list(range(min(count, len(data)))))
    region = ball(settings.norm, part.inputs, settings.eps, settings.clip)
    with evaluating(network), torch.no_grad():
        graph = as_graph(network, region)
        proven = {"interval": dict(interval_pass(graph, region.box()))}
        name, lines = _lines(settings)
        if lines is not None:
            proven[name] = LinearPass(graph, region, lines, Budget(settings.memory)).run().intervals
        layers = _layers(graph)
        return [_layer(graph, layer, region, proven) for layer in layers]


def _lines(settings: CertifySettings) -> tuple[str, LinearMethod | None]:
    """The pass whose intervals the method stands on; None for intervals themselves."""
    method = None if settings.searches else method_named(settings.method)
    if isinstance(method, IntervalMethod):
        return "interval", None
    if isinstance(method, LinearMethod):
        return settings.named, method
    if isinstance(method, ZonotopeMethod):
        return "dual", LinearMethod("parallel", intersect=False)
    return "crown", LinearMethod("adaptive")


def _layers(graph: Graph) -> list[str]:
    found = (i for node in graph.varying if isinstance(node.operation, Nonlinear) for i in node.inputs)
    return list(dict.fromkeys(i for i in found if graph.node[i].varies))


def _layer(graph: Graph, name: str, region: Region, proven: dict[str, dict[str, Interval]]) -> dict[str, Any]:
    own = {method: intervals.get(name, proven["interval"][name]) for method, intervals in proven.items()}
    return {
        "layer": name,
        "neurons": int(torch.Size(graph.node[name].shape).numel()),
        "examples": region.batch,
        "sampled": _sampled(graph.until(name), region),
        "width": {method: float(interval.width.mean()) for method, interval in own.items()},
        "undecided": {method: _undecided(graph, name, interval) for method, interval in own.items()},
    }


def _sampled(graph: Graph, region: Region) -> float:
    """The mean width of the range of the node over random points of the region."""
    generator = torch.Generator().manual_seed(0)
    points = [graph(region.sample(generator)) for _ in range(SAMPLES)]
    seen = torch.stack(points)
    return float((seen.amax(0) - seen.amin(0)).mean())


def _undecided(graph: Graph, name: str, interval: Interval) -> float | None:
    """The share of neurons whose interval leaves the next nonlinear node a choice; None where that node takes several."""
    (user, *_) = [n for n in graph.varying if name in n.inputs and isinstance(n.operation, Nonlinear)]
    assert isinstance(user.operation, Nonlinear)
    if len(user.inputs) > 1:
        return None
    return float(user.operation.unsettled(interval)[0].double().mean())
