"""`verify`: one problem, one verdict, with its evidence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ballproof.attacks.asking import ask, evaluating
from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Label, Property, Region
from ballproof.solve.clock import Clock, Confirm, TimeUp, interrupting
from ballproof.solve.strategy import decide
from ballproof.verdict import Status, Verdict


def verify(
    network: nn.Module | Graph, region: Region, property: Property | Label, timeout: float = 60.0, engine: str = "auto"
) -> Verdict:
    """`verified` only with a proof, `falsified` only with a counterexample that was asked of the network again.

    region: of one example. property: `classified_as(y)`, linear constraints, or any OR of ANDs as a violation.
    timeout: seconds, looked at between steps of a search. engine: `auto` mixes `attack`, `bounds`, `inputs` (splitting the
    input) and `neurons` (branch and bound), which are complete up to rounding and time; `milp` and `smt` are for small
    networks. `unknown` says why, and never means that the property fails.
    """
    if region.batch != 1:
        raise InputError(f"`region` holds {region.batch} examples, expected 1; take them one by one: region[[0]], region[[1]]")
    clock, graph = Clock(timeout), as_graph(network, region)
    asked = property.property(graph.output_shape[0]) if isinstance(property, Label) else property
    try:
        with interrupting(clock):
            return decide(graph, region, asked, confirmed_by(network, region, asked), clock, engine)
    except TimeUp:
        return Verdict(Status.UNKNOWN, float("-inf"), engine, "time: the limit came in the midst of a step")


def confirmed_by(network: nn.Module | Graph, region: Region, asked: Property) -> Confirm:
    """Points of the region, asked of the network itself in its own precision."""

    def confirm(points: Tensor) -> Tensor | None:
        many = region[[0] * len(points)]
        inside = many.project(points.to(region.dtype))
        with torch.no_grad(), evaluating(network):
            bad = asked.violated(ask(network, inside)).nonzero().flatten()
        return inside[bad[0]] if len(bad) else None

    return confirm
