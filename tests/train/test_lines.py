"""The walk of CROWN-IBP against the walk that all bounds take, in values and in gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.bounds.backward import Backward
from ballproof.bounds.interval import arguments
from ballproof.networks import as_graph
from ballproof.operations import Nonlinear
from ballproof.train.config import TrainConfig
from ballproof.train.losses.lines import Bend, lower_by_lines
from ballproof.train.losses.moment import Moment


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(2, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x).relu()
        return self.last((self.second(z).tanh() + z).relu().flatten(1))


@pytest.mark.parametrize("queries", [1, 3])
def test_it_is_the_walk_of_all_bounds_with_its_gradients(queries: int) -> None:
    torch.manual_seed(0)
    module, x, rows = Branches().double(), torch.rand(4, 2, 5, 5).double(), torch.randn(4, queries, 3).double()
    graph = as_graph(module, x)
    at = Moment(TrainConfig(eps=0.1), graph, graph, x, torch.zeros(4, dtype=torch.long), 0.1, torch.Generator())
    constants = graph.constants()
    lines = {
        n.name: n.operation.relax(*arguments(graph, n, at.intervals, constants), slope="adaptive")
        for n in graph.varying
        if isinstance(n.operation, Nonlinear)
    }
    wanted = Backward(graph, at.region, constants, lines)(graph.output, rows, both=False)[0]
    found = lower_by_lines(at, rows)
    assert torch.allclose(found, wanted, atol=1e-12)
    weight = torch.rand(4, queries, dtype=torch.float64)
    gradients = [torch.autograd.grad((v * weight).sum(), list(module.parameters()), retain_graph=True) for v in (found, wanted)]
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("queries", [1, 2])
def test_gradients_are_those_of_finite_differences(queries: int) -> None:
    """On, off and bending rectifiers, away from their kinks; one that is bent has no gradient through the slope of 0 or 1."""
    torch.manual_seed(1)
    lower, width = torch.tensor([[-1.3, -0.2, 0.4, -2.0], [0.3, -0.7, -0.4, -3.0]]).double(), torch.tensor(1.1).double()
    lower, upper = lower.requires_grad_(), (lower + width).detach().requires_grad_()
    cotangent = torch.randn(2, queries, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Bend.apply, (cotangent, lower, upper))


def test_a_unit_that_is_zero_all_over_the_region_costs_nothing() -> None:
    zero = torch.zeros(1, 2, requires_grad=True)
    cotangent = torch.tensor([[[1.0, -1.0]]], requires_grad=True)
    pulled, paid = Bend.apply(cotangent, zero, zero)
    assert paid.item() == 0 and pulled.tolist() == [[[0, 0]]]
    assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad((pulled.sum() + paid.sum()), (cotangent, zero)))
