"""Complete verification of a batch: the cheapest proofs first, a search only for what they leave."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ballproof.bounds import margins, stopping
from ballproof.graph import Graph
from ballproof.problems import Region, classified_as
from ballproof.solve import verify

SEARCHES = {"bab": "auto", "milp": "milp", "smt": "smt"}
"""Methods of `certify` that decide example by example, and the engine of `verify` behind each."""

CHEAP = ("crown-interval", "crown", "alpha")


@dataclass(frozen=True, eq=False)
class Staged:
    """`margins (batch, classes - 1)`: proven lower values, 0 where a search alone proves them positive; `certified (batch,)`;
    `broken (batch,)`: what was broken before, and where a search found a counterexample; `by`: which method proved or broke."""

    margins: Tensor
    certified: Tensor
    broken: Tensor
    by: list[str]


def staged(
    network: nn.Module | Graph,
    graph: Graph,
    region: Region,
    labels: Tensor,
    broken: Tensor,
    search: str,
    limit: float,
    memory: int | None = None,
) -> Staged:
    """Every example is certified, broken, or out of its time of `limit` seconds. broken: `(batch,)`, what is known to fall."""
    proven: Tensor | None = None
    by, broken = ["attack" if b else "" for b in broken], broken.clone()
    for method in CHEAP:
        open_ = [i for i, name in enumerate(by) if not name]
        if proven is None:
            proven = margins(graph, region, labels, stopping(method, 0.0), memory)
        elif open_:
            at = torch.tensor(open_, device=labels.device)
            found = margins(graph, region[at], labels[at], stopping(method, 0.0), memory)
            proven[at] = torch.maximum(proven[at], found)
        for i in open_:
            by[i] = method if bool((proven[i] > 0).all()) else ""
    assert proven is not None
    certified = (proven > 0).all(1)
    for i in [i for i, name in enumerate(by) if not name]:
        verdict = verify(network, region[[i]], classified_as(labels[i : i + 1]), timeout=limit, engine=SEARCHES[search])
        if verdict.verified:
            by[i], certified[i], proven[i] = search, True, proven[i].clamp(min=0.0)
        elif verdict.falsified:
            by[i], broken[i] = search, True
    return Staged(proven, certified, broken, by)
