"""Splitting the input: what one line a row cannot tell, however small the boxes are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from ballproof.networks import as_graph
from ballproof.problems import Box, Property
from ballproof.solve.clock import Clock, Task
from ballproof.solve.inputs import InputSplitting
from ballproof.solve.mixing import by_planes, by_points

MARGIN = 1e-3
WEIGHTS = torch.tensor([[1.0, -0.7, 0.9, 0.8]], dtype=torch.float64)


def searched(net: nn.Module, rows: list[list[float]], offsets: list[float], seconds: float = 30) -> InputSplitting:
    """The search for a violation of all rows at once on [-1, 1.1]^4, done."""
    region = Box(-torch.ones(1, 4, dtype=torch.float64), 1.1 * torch.ones(1, 4, dtype=torch.float64))
    asked = Property(torch.tensor([rows], dtype=torch.float64), torch.tensor([offsets], dtype=torch.float64), (0,) * len(rows))
    return InputSplitting(Task(as_graph(net, region), region, asked, lambda _: None, Clock(seconds)))


def bent() -> nn.Sequential:
    """(z, relu(z), relu(-z)) for z = weights · x: rows on it are exact lines away from z = 0."""
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.cat([WEIGHTS, -WEIGHTS, WEIGHTS]))
        net[0].bias.copy_(torch.tensor([0.0, 0.0, 0.0]))
        net[2].weight.copy_(torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]))
        net[2].bias.zero_()
    return net


def test_rows_that_are_violated_only_together_are_mixed() -> None:
    """z + margin and margin - 3 z are never both at or below zero; each of them is, on half of the region."""
    search = searched(bent(), [[1.0, 0.0], [-3.0, 0.0]], [MARGIN, MARGIN])
    assert search.run().proven
    assert search.leaves < 1_000


def test_slopes_close_what_lies_on_a_surface_of_kinks() -> None:
    """relu(z) + margin is least on all of z <= 0; lines of least area leave open what meets z = 0."""
    search = searched(bent(), [[0.0, 1.0]], [MARGIN])
    assert search.run().proven
    assert search.leaves < 10_000


@pytest.mark.parametrize("margin", [-MARGIN, 0.0])
def test_what_is_violated_is_never_proven(margin: float) -> None:
    assert not searched(bent(), [[1.0, 0.0], [-3.0, 0.0]], [margin, margin], seconds=1).run().proven


def drawn() -> tuple[torch.Tensor, ...]:
    """Slopes and offsets of three planes, and the corners of boxes in the plane, with the ends of those."""
    generator = torch.Generator().manual_seed(0)
    slope, offset = (torch.randn(200, *s, generator=generator, dtype=torch.float64) for s in ((3, 2), (3,)))
    lower, upper = (sign * torch.rand(200, 2, generator=generator, dtype=torch.float64) for sign in (-1, 1))
    corners = torch.cartesian_prod(torch.arange(2), torch.arange(2)).to(lower)
    points = lower.unsqueeze(1) + corners * (upper - lower).unsqueeze(1)
    return slope, offset, points @ slope.transpose(1, 2) + offset.unsqueeze(1), lower, upper


@pytest.mark.parametrize("way", ["planes", "points"])
def test_mixtures_are_such_and_refute_what_no_single_row_does(way: str) -> None:
    """Against linear programs: which boxes some mixture refutes."""
    slope, offset, values, lower, upper = drawn()
    share = by_planes(slope, offset, lower, upper) if way == "planes" else by_points(values)
    assert bool((share >= 0).all()) and torch.allclose(share.sum(1), torch.ones(200, dtype=torch.float64))
    found = (values * share.unsqueeze(1)).sum(2).amin(1) > 0
    alone = values.amin(1).amax(1) > 0
    possible = torch.tensor([least_largest(v.numpy()) > 0 for v in values])
    assert int((possible & ~alone).sum()) >= 5
    assert not bool((alone & ~found).any())
    assert int((possible & ~found).sum()) <= 3
    assert not bool((found & ~possible).any())


def least_largest(values: np.ndarray) -> float:
    """The largest least value of a mixture of the columns."""
    points, rows = values.shape
    cost, free = np.append(np.zeros(rows), -1.0), [*((0, 1) for _ in range(rows)), (None, None)]
    below, total = np.hstack([-values, np.ones((points, 1))]), np.append(np.ones(rows), 0.0)[None]
    return -float(linprog(cost, below, np.zeros(points), total, [1.0], free).fun)
