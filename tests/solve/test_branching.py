"""Where neurons are cut: both children together hold every input, and what is bounded of them is true."""

from dataclasses import replace

import pytest
import torch
from test_violated import outside, search_of
from torch import nn

from ballproof.networks import as_graph
from ballproof.operations.hard_swish import HardSwish
from ballproof.operations.relu import Relu
from ballproof.operations.tanh import Tanh
from ballproof.problems import Box, Property
from ballproof.solve.branching import branch_point, children, losses
from ballproof.solve.clock import Clock, Task
from ballproof.solve.leaves import Site
from ballproof.solve.neurons import NeuronSplitting
from ballproof.values import Interval


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.Hardswish, nn.LeakyReLU])
def test_children_hold_every_point_of_their_parent_and_bound_it(act):
    """Three cuts deep: the margin of no point lies below the bound of the child that holds it."""
    search, _ = search_of(act, 1, 1, 0.02)
    points = torch.rand(2_000, 3, dtype=torch.float64) * 2 - 1
    margins = search.task.property.values(search.task.graph(points))[:, 0].detach()
    with torch.no_grad():
        leaves, seen = search.stack[0]
        for _ in range(3):
            lost, at = losses(search.sites, leaves, seen.at)
            pick = lost.argmax(1)
            leaves = children(search.sites, leaves, pick, at.gather(1, pick[:, None])[:, 0])
            leaves, seen = search.bounds.ascend(replace(leaves, bound=leaves.bound - torch.inf), 5, search._cuts(leaves))
            held = torch.stack([outside(search, leaves[i : i + 1], points) <= 1e-9 for i in range(len(leaves))])
            assert held.any(0).all()
            assert all(margins[h].min() >= b - 1e-9 for h, b in zip(held, leaves.bound, strict=True) if h.any())


def test_cuts_lie_at_kinks_and_at_inflections_that_leave_both_children_a_part():
    x = Interval(torch.tensor([-0.1, -4.0, -1.0, 1.0]), torch.tensor([8.0, 0.2, 2.0, 2.0]))
    asked = {f: Site(None, f, "", torch.arange(4), (), torch.zeros(4, dtype=torch.bool)) for f in (Relu(), Tanh(), HardSwish())}
    assert branch_point(asked[Relu()], x).tolist() == [0.0, 0.0, 0.0, 1.5]
    assert branch_point(asked[Tanh()], x).tolist() == pytest.approx([3.95, -1.9, 0.0, 1.5])
    assert branch_point(asked[HardSwish()], x).tolist() == pytest.approx([3.0, -3.0, 0.5, 1.5])


def test_no_leaves_have_no_bounds():
    search, _ = search_of(nn.ReLU, 1, 0, 0.02)
    leaves = search.roots[[]]
    found, seen = search.bounds.ascend(leaves, 3, search._cuts(leaves))
    assert len(found) == len(seen.values) == 0


def test_what_climbs_in_single_precision_is_proven_in_double():
    """Leaves whose bound is exact: one rectifier, cut, so that rounding to single precision would show."""
    for seed in range(10):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1)).double()
        nn.init.zeros_(net[0].bias)
        box = Box(-torch.ones(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
        asked = Property(torch.ones(1, 1, 1, dtype=torch.float64), torch.full((1, 1), -5.0, dtype=torch.float64), (0,))
        search = NeuronSplitting(Task(as_graph(net, box), box, asked, lambda _: None, Clock(60.0)))
        search.clock = search.task.clock
        with torch.no_grad():
            assert search._begin() is None
            assert search.bounds.scout is not search.bounds
            pair = children(search.sites, search.roots, torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.float64))
            found, _ = search.bounds.ascend(pair, 20, search._cuts(pair))
            reach, weight, offset = net[0].weight.abs().sum(), net[2].weight[0, 0], net[2].bias[0] - 5
            exact = torch.stack([offset, offset + (weight * reach).clamp(max=0)])
        assert (found.bound <= exact + 1e-14).all()
        assert (found.bound >= exact - 1e-2).all()
