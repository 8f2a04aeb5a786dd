"""Sums of products as sums of squares: the same function, and what cancels is not bounded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.bounds import lower_bounds
from ballproof.graph import Graph
from ballproof.graph.squares import with_squares
from ballproof.networks import read_module
from ballproof.operations import Nonlinear
from ballproof.operations.power import Power
from ballproof.operations.product import Product
from ballproof.problems import Box
from ballproof.values import Interval


class Descent(nn.Module):
    """How a quadratic form changes along a step of a system with a sine and a small controller, and where the step leads."""

    def __init__(self, form: Tensor) -> None:
        super().__init__()
        self.form, self.control = nn.Parameter(form), nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        force = torch.sin(x[:, 1:2]) * self.control(x)
        after = x + 0.1 * torch.cat([x[:, 2:], force, -x[:, :1]], 1)
        fall = ((after - x) * ((after + x) @ self.form)).sum(1, keepdim=True)
        return torch.cat([fall, after], 1)


class Form(nn.Module):
    """x' P x."""

    def __init__(self, form: Tensor) -> None:
        super().__init__()
        self.form = nn.Parameter(form)

    def forward(self, x: Tensor) -> Tensor:
        return (x * (x @ self.form)).sum(1, keepdim=True)


def squared(graph: Graph, reach: float = 1.0) -> Graph:
    bends = [graph.node[graph.input], *(n for n in graph.varying if isinstance(n.operation, Nonlinear))]
    ends = {n.name: torch.full((1, *n.shape), reach) for n in bends}
    return with_squares(graph, {name: Interval(-end, end) for name, end in ends.items()})


@pytest.mark.parametrize("seed", range(5))
def test_the_function_is_the_same(seed: int) -> None:
    torch.manual_seed(seed)
    graph = read_module(Descent(torch.randn(4, 4)).double(), torch.rand(2, 4).double())
    small, x = squared(graph, 0.1 * 3.0**seed), 3 * torch.randn(50, 4, dtype=torch.float64)
    assert any(isinstance(n.operation, Power) for n in small.varying)
    assert sum(isinstance(n.operation, Product) for n in small.varying) == 1, "the sine times the controller"
    torch.testing.assert_close(small(x), graph(x), rtol=1e-11, atol=1e-11)


def test_values_far_from_zero_that_hardly_move_are_not_lost() -> None:
    """A value with no width at 1000 beside one that moves by 1: its own square is a million."""
    graph = read_module(Form(torch.tensor([[1.0, 0.5], [0.5, 2.0]])).double(), torch.rand(2, 2).double())
    low, high = torch.tensor([[-1.0, 1000.0]]).double(), torch.tensor([[1.0, 1000.0]]).double()
    small, x = with_squares(graph, {graph.input: Interval(low, high)}), torch.tensor([[0.5, 1000.0], [-1.0, 1000.0]]).double()
    torch.testing.assert_close(small(x), graph(x), rtol=1e-13, atol=0)


def test_products_that_cancel_leave_what_is_affine() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (torch.cat([x, 2 - x], 1) * torch.cat([x, x], 1)).sum(1, keepdim=True)

    graph, x = read_module(Nothing().double(), torch.rand(2, 2).double()), torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(squared(graph)(x), graph(x), rtol=1e-12, atol=1e-12)


def test_a_positive_form_is_bounded_by_its_tangent() -> None:
    torch.manual_seed(0)
    root = torch.randn(5, 5, dtype=torch.float64)
    graph = read_module(Form(root.T @ root), torch.rand(2, 5).double())
    box = Box(-torch.ones(1, 5, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    asked = torch.ones(1, 1, 1, dtype=torch.float64)
    found = [float(lower_bounds(g, box, asked, "crown").detach()) for g in (graph, squared(graph))]
    assert found[0] < -1 and -1e-9 <= found[1] <= 1e-9, "the least value of the form is 0, in the middle"


@pytest.mark.parametrize("seed", range(5))
def test_bounds_hold_at_samples_and_are_tighter(seed: int) -> None:
    torch.manual_seed(seed)
    graph = read_module(Descent(torch.eye(4) + 0.3 * torch.randn(4, 4)).double(), torch.rand(2, 4).double())
    middle = torch.randn(1, 4, dtype=torch.float64)
    box, asked = Box(middle - 0.3, middle + 0.3), torch.ones(1, 1, 1, dtype=torch.float64) * torch.eye(5).double()[:1]
    bounds = [float(lower_bounds(g, box, asked, "crown").detach()) for g in (graph, squared(graph, 0.3))]
    least = float(graph(box[[0] * 4000].sample(torch.Generator().manual_seed(seed)))[:, 0].min().detach())
    assert bounds[0] < bounds[1] <= least


def test_other_networks_stay_as_they_are() -> None:
    class Broadcast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * x.sum(1, keepdim=True)).sum(1, keepdim=True)

    class Used(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            squares = x * (1 - x)
            return torch.cat([squares.sum(1, keepdim=True), squares], 1)

    for module in (Broadcast(), Used(), nn.Sequential(nn.Linear(3, 2), nn.ReLU())):
        graph = read_module(module.double(), torch.rand(2, 3).double())
        assert squared(graph) is graph
