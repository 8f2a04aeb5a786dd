"""Planes above rectifiers, against corners, points of boxes, and the networks that they bound."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ballproof.networks import read_module
from ballproof.problems import Box, Property
from ballproof.solve.branching import children, losses
from ballproof.solve.clock import Clock, Task
from ballproof.solve.leaf_bounds import LeafBounds
from ballproof.solve.neurons import NeuronSplitting
from ballproof.solve.planed import Planed
from ballproof.solve.planes import Planes, Reading, RootPlanes


def reading_of(seed, leaves=3, neurons=5, inputs=4):
    """Random rectifiers on a random box, all corners of the box, and planes of random slopes for some leaves."""
    torch.manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64)  # noqa: E731
    columns = torch.stack([torch.randperm(7)[:inputs] for _ in range(neurons)])
    center, radius = draw(7), draw(7).abs()
    reading = Reading("x", 7, columns, draw(neurons, inputs), draw(neurons), center[columns], radius[columns])
    corners = torch.stack([center + radius * torch.tensor(s, dtype=torch.float64) for s in product((-1, 1), repeat=7)])
    low, high = -draw(leaves, neurons).abs(), draw(leaves, neurons).abs()
    return reading, corners, Planes(reading, draw(leaves, neurons, inputs), *(draw(leaves, neurons) for _ in "km"), low, high)


def arguments(reading, points):
    return (points[:, reading.columns] * reading.weight).sum(2) + reading.bias


@pytest.mark.parametrize("seed", range(5))
def test_a_plane_without_multipliers_touches_the_rectifier_at_a_corner(seed):
    reading, corners, planes = reading_of(seed)
    planes = replace(planes, rest=torch.zeros_like(planes.rest), full=torch.zeros_like(planes.full))
    values = arguments(reading, corners).relu().unsqueeze(1)
    above = values - (corners[:, reading.columns].unsqueeze(1) * planes.slopes).sum(3)
    assert torch.allclose(above.amax(0), planes.heights())


@pytest.mark.parametrize("seed", range(5))
def test_a_plane_lies_above_the_rectifier_where_the_argument_is_in_its_interval(seed):
    reading, corners, planes = reading_of(seed)
    center, radius = corners.mean(0), corners.std(0, correction=0)
    points = center + radius * (2 * torch.rand(20_000, 7, dtype=torch.float64) - 1)
    z = arguments(reading, points).unsqueeze(1)
    inside = (z >= planes.low) & (z <= planes.high)
    above = (points[:, reading.columns].unsqueeze(1) * planes.slopes).sum(3) + planes.heights() - z.relu()
    assert inside.any(0).any()
    assert above[inside].amin() >= -1e-12
    assert above.amin() < 0  # elsewhere some multiplier lets it pass


def test_planes_start_as_the_lines_above():
    reading, corners, planes = reading_of(0)
    lines = Planes.lines(reading, planes.low, planes.high)
    z, chord = arguments(reading, corners).unsqueeze(1), planes.high / (planes.high - planes.low)
    found = (corners[:, reading.columns].unsqueeze(1) * lines.slopes).sum(3) + lines.heights()
    assert torch.allclose(found, chord * (z - planes.low))


def test_leaves_use_the_planes_of_their_own_root_where_they_are_wide_enough():
    _, _, planes = reading_of(1)
    group = torch.tensor([4, 0, 2])
    kept = RootPlanes.of(planes, group, 6)
    falling = -torch.rand(1, 3, 5, dtype=torch.float64)
    leaves = SimpleNamespace(group=group, low=(planes.low,), high=(planes.high,))
    query, rest = kept.on(leaves, 0).below(falling)
    direct, _ = planes.below(falling)
    assert torch.allclose(query.values, direct.values)
    assert torch.allclose(query.offset, direct.offset)
    assert not rest.any()
    leaves.low, leaves.group = (planes.low.clone(),), torch.tensor([4, 0, 1])  # group 1 has no planes
    leaves.low[0][0, 3] = 0.0  # cut
    _, rest = kept.on(leaves, 0).below(falling)
    assert torch.equal(rest != 0, torch.tensor([[[False] * 3 + [True, False], [False] * 5, [True] * 5]]))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third, self.last = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last(self.third(x + self.second(x).relu()).relu())


class Single(nn.Module):
    """One of its nodes is a number without axes, which a later layer reads."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 5), nn.Linear(1, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.last(self.second(self.first(x).relu().sum(1).relu().unsqueeze(1)).relu())


def convolutions():
    first = nn.Conv2d(1, 3, 2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 2, 2, padding=1), nn.ReLU()
    return nn.Sequential(nn.Unflatten(1, (1, 1, 3)), *first, nn.Flatten(), nn.Linear(12, 2))


NETS = {
    "dense": lambda: nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 2)),
    "deep": lambda: nn.Sequential(
        nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)
    ),
    "residual": Residual,
    "convolutions": convolutions,
    "single": Single,
}


def search_on(name, seed):
    """A search on a network of three inputs whose property is violated somewhere, and many points with their margins."""
    torch.manual_seed(seed)
    net = NETS[name]().double()
    for p in net.parameters():
        nn.init.normal_(p, std=0.8)
    box = Box(-torch.ones(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))
    points = torch.cat(
        [torch.rand(20_000, 3, dtype=torch.float64) * 2 - 1, torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3)]
    )
    graph = read_module(net, points[:2])
    with torch.no_grad():
        rows = torch.tensor([[[1.0, -0.7], [-0.4, 1.0]]], dtype=torch.float64)
        values = graph(points) @ rows[0].T
        offsets = -values.quantile(0.02, 0)[None]
    search = NeuronSplitting(Task(graph, box, Property(rows, offsets, (0, 1)), lambda _: None, Clock(60.0)))
    search.clock = search.task.clock
    return search, points, values + offsets


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETS)
def test_bounds_with_planes_hold_on_roots_and_on_what_comes_of_them(name, seed):
    search, points, margins = search_on(name, seed)
    with torch.no_grad():
        search._planed = lambda leaves, seen: (leaves, seen)
        assert search._begin() is None
        ((leaves, seen),) = search.stack
        planed = Planed.of(search.bounds, leaves, search.known, search.clock)
        found, _ = planed.ascend(leaves, 60, search._cuts(leaves))
        least = margins.amin(0)[leaves.group]
        assert (found.bound <= least + 1e-9).all()
        assert (found.bound > leaves.bound).all()
        search.bounds.stand_on(planed.kept(leaves))
        assert torch.allclose(search.bounds.evaluate(found).values, planed.evaluate(found).values)
        check_splits(search, leaves, seen, points, margins)


@pytest.mark.parametrize("name", ["dense", "convolutions"])
def test_a_walk_of_many_queries_of_one_leaf_has_no_planes_that_are_anothers(name):
    search, points, _ = search_on(name, 0)
    with torch.no_grad():
        assert search._begin() is None
        ((leaves, _),) = search.stack
        assert search.bounds.planes
        rows = torch.cat([torch.eye(2), -torch.eye(2)]).double()
        walk = search.bounds.walk(leaves[:1], multiplied=False)
        slopes = walk.pulled(search.task.graph.output, rows.unsqueeze(0), both=False).lower[0].flatten(1)
        below = points @ slopes.T + walk.offset_lower
        assert (below <= search.task.graph(points) @ rows.T + 1e-9).all()


@pytest.mark.parametrize("most", [0, 1, 3])
def test_planes_climb_no_longer_than_their_clock(most, monkeypatch):
    search, _, margins = search_on("deep", 0)
    steps, slopes = [], LeafBounds._slopes
    with torch.no_grad():
        search._planed = lambda leaves, seen: (leaves, seen)
        assert search._begin() is None
        ((leaves, _),) = search.stack
        monkeypatch.setattr(LeafBounds, "_slopes", lambda self, *given: steps.append(0) or slopes(self, *given))
        monkeypatch.setattr(Clock, "over", property(lambda self: len(steps) >= most))
        planed = Planed.of(search.bounds, leaves, search.known, search.clock)
        if not most:
            assert planed is None
            return
        found, _ = planed.ascend(leaves, 60, search._cuts(leaves))
    assert len(steps) == most
    assert (found.bound >= leaves.bound).all()
    assert (found.bound <= margins.amin(0)[found.group] + 1e-9).all()


def check_splits(search, leaves, seen, points, margins):
    """Some generations of leaves: each one's bound is at most the least margin of the points that its splits leave."""
    known = search.task.graph.activations(points)
    for _ in range(4):
        scores, at = losses(search.sites, leaves, seen)
        keep = (scores.amax(1) > 0).nonzero().flatten()
        if not len(keep):
            break
        choice = scores[keep].argmax(1)
        leaves = children(search.sites, leaves[keep], choice, at[keep].gather(1, choice[:, None])[:, 0])
        leaves, seen = search.bounds.ascend(leaves, 6, search._cuts(leaves))
        inside = torch.ones(len(points), len(leaves), dtype=torch.bool)
        for site, low, high in zip(search.sites, leaves.low, leaves.high, strict=True):
            z = known[site.argument].flatten(1)[:, site.places].unsqueeze(1)
            inside &= ((z >= low - 1e-12) & (z <= high + 1e-12)).all(2)
        least = margins[:, leaves.group].masked_fill(~inside, torch.inf).amin(0)
        assert (leaves.bound <= least + 1e-9).all()


def test_many_neurons_of_few_inputs_are_refuted_at_the_root():
    """Where lines leave a gap that splits of single neurons would have to close one by one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(1, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 30, 1)).double()
    box = Box(-torch.ones(1, 1, 31, dtype=torch.float64), torch.ones(1, 1, 31, dtype=torch.float64))
    graph = read_module(net, box.lower)
    row, start = torch.ones(1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    search = NeuronSplitting(Task(graph, box, Property(row, start, (0,)), lambda _: None, Clock(60.0)))
    search.clock = search.task.clock
    with torch.no_grad():
        search._planed = lambda leaves, seen: (leaves, seen)
        assert search._begin() is None
        ((leaves, _),) = search.stack
        found, _ = Planed.of(search.bounds, leaves, search.known, search.clock).ascend(leaves, 100, search._cuts(leaves))
    gap = float((found.bound - leaves.bound)[0])
    asked = Property(row, (-leaves.bound - 0.5 * gap).reshape(1, 1), (0,))
    answer = NeuronSplitting(replace(search.task, property=asked)).run()
    assert gap > 0.05
    assert answer.proven
    assert answer.leaves == 2
