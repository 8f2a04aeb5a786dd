"""Complete verification of a data set: the cheapest proofs first, for many at once; then a search for each that they leave."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ballproof.bounds import margins, stopping
from ballproof.graph import Graph
from ballproof.problems import Region, classified_as
from ballproof.solve import verify
from ballproof.verdict import Verdict

SEARCHES = {"bab": "auto", "milp": "milp", "smt": "smt"}
"""Methods of `certify` that decide example by example, and the engine of `verify` behind each."""

CHEAP = ("crown-interval", "crown", "alpha")


@dataclass(frozen=True, eq=False)
class Staged:
    """`margins (batch, classes - 1)`: proven lower values; `certified (batch,)`; `by`: what proved or broke, or ""."""

    margins: Tensor
    certified: Tensor
    by: list[str]


def cheaply(graph: Graph, region: Region, labels: Tensor, broken: Tensor, memory: int | None = None) -> Staged:
    """What cheap bounds prove of each example. broken: `(batch,)`, what is known to fall, of which nothing more is asked."""
    proven: Tensor | None = None
    by = ["attack" if b else "" for b in broken]
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
    return Staged(proven, (proven > 0).all(1), by)


def searched(network: nn.Module | Graph, region: Region, label: Tensor, search: str, limit: float) -> Verdict:
    """What a search of `limit` seconds says of one example. region: of it alone; label: `(1,)`."""
    return verify(network, region, classified_as(label), timeout=limit, engine=SEARCHES[search])
