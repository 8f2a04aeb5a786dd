import pytest
import torch
from torch import nn

from ballproof.graph.prune import without_units
from ballproof.networks import read_module
from ballproof.operations import Nonlinear


def graph_of(net: nn.Module, size: int):
    return read_module(net.double(), torch.rand(2, size, dtype=torch.float64))


def zero_units(graph, x):
    seen = graph.activations(x)
    bends = [n.name for n in graph.varying if isinstance(n.operation, Nonlinear)]
    return {n: (seen[n].flatten(1) == 0).all(0) for n in bends}


@pytest.mark.parametrize("seed", range(5))
def test_units_that_are_zero_on_the_points_leave_the_values_there_unchanged(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 7, bias=False), nn.ReLU(), nn.Linear(7, 3))
    with torch.no_grad():
        net[0].bias[:4] = -20.0
        net[2].weight[2] = -net[2].weight[2].abs()
    graph = graph_of(net, 4)
    x = torch.rand(50, 4, dtype=torch.float64)
    small, kept = without_units(graph, zero_units(graph, x))
    torch.testing.assert_close(small(x), graph(x), rtol=0, atol=1e-12)
    sizes = [n.shape[0] for n in small.varying if isinstance(n.operation, Nonlinear)]
    assert sizes[0] <= 5
    assert sizes[1] <= 6
    assert all(len(k) == small.node[n].shape[0] for n, k in kept.items())


def test_one_unit_stays_where_all_are_zero():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].bias[:] = -9.0
    graph = graph_of(net, 2)
    x = torch.rand(5, 2, dtype=torch.float64)
    small, _ = without_units(graph, zero_units(graph, x))
    torch.testing.assert_close(small(x), graph(x), rtol=0, atol=0)
    assert [n.shape for n in small.varying] == [(1,), (1,), (2,)]


class Shared(nn.Module):
    """A unit layer that is also added to the output of a later one."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        h = self.a(x).relu()
        return self.c(h + self.b(h).relu())


def test_units_with_other_users_stay():
    torch.manual_seed(0)
    net = Shared()
    with torch.no_grad():
        net.a.bias[0] = net.b.bias[1] = -9.0
    graph = graph_of(net, 3)
    x = torch.rand(20, 3, dtype=torch.float64)
    small, kept = without_units(graph, zero_units(graph, x))
    assert not kept
    assert small(x).equal(graph(x))
