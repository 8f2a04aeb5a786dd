"""Intervals where the property is violated, against points of the region that violate it."""

import pytest
import torch
from torch import nn

from ballproof.networks import read_module
from ballproof.problems import Box, Property
from ballproof.solve.branching import children, losses
from ballproof.solve.clock import Clock, Task
from ballproof.solve.neurons import NeuronSplitting
from ballproof.solve.violated import Violated

CASES = [(act, rows, seed) for act in (nn.ReLU, nn.Tanh, nn.LeakyReLU) for rows in (1, 2) for seed in range(3)]


def search_of(act, rows, seed, quantile):
    """A small search whose property about this share of the points violate, and those points."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), act(), nn.Linear(8, 6), act(), nn.Linear(6, 3)).double()
    for p in net.parameters():
        nn.init.normal_(p, std=0.9)
    graph = read_module(net, torch.rand(2, 3, dtype=torch.float64))
    box = Box(-torch.ones(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))
    points = torch.rand(10_000, 3, dtype=torch.float64) * 2 - 1
    matrix = torch.randn(1, rows, 3, dtype=torch.float64)
    values = torch.einsum("nj,rj->nr", graph(points).detach(), matrix[0])
    offsets = -values.quantile(quantile, 0)
    asked = Property(matrix, offsets[None], (0,) * rows)
    task = Task(graph, box, asked, lambda _: None, Clock(60.0))
    search = NeuronSplitting(task)
    search.clock = task.clock
    with torch.no_grad():
        assert search._begin() is None
    bad = points[((values + offsets) <= 0).all(1)]
    return search, bad


def outside(search, leaves, points):
    """How far the arguments of the sites leave the leaf's intervals at each of the points."""
    seen, worst = search.task.graph.activations(points), points.new_zeros(len(points))
    for site, low, high in zip(search.sites, leaves.low, leaves.high, strict=True):
        z = seen[site.argument].flatten(1)[:, site.places]
        worst = torch.maximum(worst, torch.maximum(low[0] - z, z - high[0]).amax(1))
    return worst


@pytest.mark.parametrize(("act", "rows", "seed"), CASES)
@pytest.mark.parametrize(("thorough", "share"), [(True, 0.05), (False, 0.05), (True, 0.97)])
def test_points_that_violate_the_property_lie_in_the_new_intervals(act, rows, seed, thorough, share):
    search, bad = search_of(act, rows, seed, share)
    if not search.stack:
        assert not len(bad)  # the root alone refutes the property
        return
    with torch.no_grad():
        leaves, seen = search.stack[0]
        for _ in range(3):
            lost, at = losses(search.sites, leaves, seen)
            new, empty, gain = Violated(search.bounds, thorough).run(leaves, lost, search._cuts(leaves), Clock(60.0))
            pairs = zip((*leaves.low, *new.high), (*new.low, *leaves.high), strict=True)
            assert all(bool((a <= b + 1e-12).all()) for a, b in pairs)
            assert 0 <= gain <= 1
            assert not (bool(empty[0]) and len(bad))
            if not len(bad) or not (lost > 0).any():
                break
            assert outside(search, new, bad).amax() <= 1e-9
            pick = lost.argmax(1)  # go on in the child that holds the first bad point
            pair = children(search.sites, new, pick, at.gather(1, pick[:, None])[:, 0])
            child = next(c for c in (pair[:1], pair[1:]) if outside(search, c, bad[:1]) <= 1e-9)
            leaves, seen = search.bounds.ascend(child, 5, search._cuts(child))
            bad = bad[outside(search, leaves, bad) <= 1e-9]


def test_a_rare_violation_narrows_the_last_layer():
    gains = []
    for seed in range(6):
        search, _ = search_of(nn.ReLU, 1, seed, 0.001)
        if search.stack:
            leaves, seen = search.stack[0]
            with torch.no_grad():
                lost, _ = losses(search.sites, leaves, seen)
                gains.append(Violated(search.bounds, True).run(leaves, lost, search._cuts(leaves), Clock(60.0))[2])
    assert max(gains) > 0.2
