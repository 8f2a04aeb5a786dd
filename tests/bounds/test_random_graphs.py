"""`lp`, `lp-all` and `sdp` on random graphs: no point that was found lies below a bound, and tighter methods are tighter."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from random_graphs import INPUTS, SMOOTH, STRAIGHT, random_graph
from torch import Tensor

from ballproof.bounds import lower_bounds
from ballproof.graph import Graph
from ballproof.operations import Operation
from ballproof.operations.relu import Relu
from ballproof.problems import Box

KINDS: dict[str, tuple[Operation, ...]] = {"relu": (Relu(),), "straight": STRAIGHT, "smooth": (*SMOOTH, *STRAIGHT)}


def lowest(graph: Graph, region: Box, rows: Tensor) -> Tensor:
    """The least values of the queries at corners, at random points, and downhill from all of these, `(query,)`."""
    draw = torch.Generator().manual_seed(1)
    box, shares = region.box(), torch.tensor(list(product((0.0, 1.0), repeat=INPUTS)), dtype=torch.float64)
    shares = torch.cat([shares, torch.rand(60, INPUTS, generator=draw, dtype=torch.float64)])
    shares = shares.repeat(rows.shape[1], 1).requires_grad_()
    each = rows[0].repeat_interleave(len(shares) // rows.shape[1], 0)
    best = torch.full((len(shares),), torch.inf, dtype=torch.float64)
    for step in range(40):
        values = (graph(box.lower + shares * box.width) * each).sum(1)
        best = torch.minimum(best, values.detach())
        (gradient,) = torch.autograd.grad(values.sum(), shares)
        shares = (shares - 0.3 * 0.9**step * gradient.sign()).clamp(0, 1).detach().requires_grad_()
    return best.reshape(rows.shape[1], -1).amin(1)


def check(kind: str, seed: int) -> None:
    graph, draw = random_graph(seed, KINDS[kind]), torch.Generator().manual_seed(seed)
    center = torch.randn(1, INPUTS, generator=draw, dtype=torch.float64)
    radius = 10 ** (1.5 * torch.rand(1, INPUTS, generator=draw, dtype=torch.float64) - 1.3)
    region, rows = Box(center - radius, center + radius), torch.randn(1, 3, 2, generator=draw, dtype=torch.float64)
    methods = ("crown", "alpha", "lp", "lp-all", *(("sdp",) if kind == "relu" else ()))
    found = {m: lower_bounds(graph, region, rows, m)[0].detach() for m in methods}
    least = lowest(graph, region, rows)
    allowed = 1e-6 * (1 + torch.stack([least.abs(), *(f.abs() for f in found.values())]).amax())
    for method, values in found.items():
        assert bool((values <= least + 1e-3 * allowed).all()), f"{method} of {kind} graph {seed}: {values} above {least}"
    order = [("alpha", "crown"), ("lp", "crown"), ("lp-all", "crown")]
    order += [("lp", "alpha"), ("lp-all", "lp")] if kind != "smooth" else []  # tangents elsewhere may be worse for a query
    order += [("sdp", "crown")] if kind == "relu" else []
    for tighter, looser in order:
        assert bool((found[tighter] >= found[looser] - allowed).all()), f"{tighter} below {looser}, {kind} graph {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_programs_on_random_graphs(kind: str) -> None:
    for seed in range(12):
        check(kind, seed)


def test_lines_without_offsets_under_autograd() -> None:
    """A difference of two bends that are zero at zero, then a third bend: no constant on the way of its query."""
    check("straight", 479)
