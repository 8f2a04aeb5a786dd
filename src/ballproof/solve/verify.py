"""`verify`: one problem, one verdict, with its evidence."""

from __future__ import annotations

import time

import torch
from torch import nn

from ballproof.attacks import PGD
from ballproof.bounds import lower_bounds
from ballproof.errors import DomainError, InputError, UnsupportedError
from ballproof.graph import Graph
from ballproof.networks import as_graph
from ballproof.problems import Label, Property, Region
from ballproof.verdict import Status, Verdict

METHODS = ("interval", "dual", "crown", "alpha", "lp")
"""From the cheapest to the tightest; the search stops at the first that proves the property."""


def verify(
    network: nn.Module | Graph, region: Region, property: Property | Label, timeout: float = 60.0, steps: int = 100
) -> Verdict:
    """`verified` only with a proof, `falsified` only with a counterexample that was asked of the network again.

    region: of one example. property: `classified_as(y)`, linear constraints, or any OR of ANDs as a violation.
    timeout: seconds, looked at between the methods. The proofs are incomplete: `unknown` says which gap is left, and
    never means that the property fails.
    """
    if region.batch != 1:
        raise InputError(f"`region` holds {region.batch} examples, expected 1; take them one by one: region[[0]], region[[1]]")
    graph, ends = as_graph(network, region), time.monotonic() + timeout
    asked = property.property(graph.output_shape[0]) if isinstance(property, Label) else property
    found = PGD(steps=steps, restarts=2)(graph, region, asked)
    if bool(found.success[0]):
        return Verdict(Status.FALSIFIED, counterexample=found.inputs[0], bound=float(found.margins[0]), method="pgd")
    best, undefined = float("-inf"), ""
    for method in METHODS:
        if time.monotonic() > ends:
            return Verdict(Status.UNKNOWN, reason=f"time: {timeout} s are over", bound=best, method=method)
        try:
            bounds = _bounds(graph, region, asked, method)
        except DomainError as error:
            undefined = f"not defined on the region: {error}"
            continue
        except UnsupportedError as error:
            return Verdict(Status.UNKNOWN, reason=f"not modelled: {error}", bound=best, method=method)
        best = max(best, float(asked.worst(bounds)[0]))
        if bool(asked.proven(bounds)[0]):
            return Verdict(Status.VERIFIED, bound=best, method=method)
    if best == float("-inf"):
        return Verdict(Status.UNKNOWN, reason=undefined, bound=best, method=METHODS[-1])
    gap = float(found.margins[0]) - best
    reason = f"gap: the worst margin lies between the proven {best:.4g} and the attacked {best + gap:.4g}"
    return Verdict(Status.UNKNOWN, reason=reason, bound=best, method=METHODS[-1])


def _bounds(graph: Graph, region: Region, asked: Property, method: str) -> torch.Tensor:
    with torch.no_grad():
        return lower_bounds(graph, region, asked.coefficients, method) + asked.offsets
