"""Joining affine runs and leaving inputs out changes no value."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.graph.extend import with_inputs
from ballproof.graph.fuse import fused, on_free_inputs
from ballproof.networks import read_module
from ballproof.operations.linear import Linear


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x) * 2 - 1
        return self.last(torch.relu(self.second(torch.relu(a))) + a)


NETS = {
    "two linear layers": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (5,)),
    "convolution and flatten": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 4)), (2, 4, 4)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)), (4,)),
    "a value used twice": (Residual, (6,)),
    "an output of two axes": (lambda: nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3))), (6,)),
}


@pytest.mark.parametrize("name", list(NETS))
def test_fused_graphs_compute_the_same_with_no_more_nodes(name: str) -> None:
    make, shape = NETS[name]
    torch.manual_seed(0)
    graph = read_module(make().double().eval(), torch.rand(2, *shape, dtype=torch.float64))
    small, x = fused(graph), torch.randn(7, *shape, dtype=torch.float64)
    torch.testing.assert_close(small(x), graph(x), rtol=1e-12, atol=1e-12)
    assert len(small.varying) <= len(graph.varying)
    assert small.output_shape == graph.output_shape


def test_a_run_of_linear_layers_becomes_one() -> None:
    graph = read_module(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(3, 2)).double(), torch.rand(2, 5).double())
    small = fused(graph)
    assert [type(n.operation) for n in small.varying] == [Linear]


def test_a_value_that_is_used_twice_is_kept() -> None:
    graph = read_module(Residual().double(), torch.rand(2, 6, dtype=torch.float64))
    users = [n for n in fused(graph).varying if sum(n.name in m.inputs for m in fused(graph).varying) == 2]
    assert len(users) == 1


def test_inputs_of_one_value_are_left_out() -> None:
    torch.manual_seed(0)
    graph = read_module(
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).double(), torch.rand(2, 1, 3, 3).double()
    )
    point, free = torch.rand(1, 3, 3, dtype=torch.float64), torch.tensor([1, 5])
    part = fused(on_free_inputs(graph, point, free))
    assert part.input_shape == (2,)
    values = torch.randn(4, 2, dtype=torch.float64)
    whole = point.flatten().repeat(4, 1)
    whole[:, free] = values
    torch.testing.assert_close(part(values), graph(whole.reshape(4, 1, 3, 3)), rtol=1e-12, atol=1e-12)


def test_inputs_stand_behind_the_outputs() -> None:
    graph = read_module(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).double(), torch.rand(2, 2, 2, dtype=torch.float64))
    x = torch.randn(3, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(with_inputs(graph)(x), torch.cat([graph(x), x.flatten(1)], 1))
