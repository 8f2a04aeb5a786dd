"""Outputs that sum to one: what all coefficients share is known, not bounded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.bounds import lower_bounds
from ballproof.networks import read_module
from ballproof.operations.softmax import Softmax
from ballproof.problems import Linf


@pytest.mark.parametrize(("axis", "shape"), [(1, (5,)), (2, (3, 4)), (1, (3, 4))])
def test_a_level_changes_no_value(axis: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    operation, outputs = Softmax(axis), torch.randn(6, *shape, dtype=torch.float64).softmax(axis)
    cotangent = torch.randn(1, 7, *shape, dtype=torch.float64)
    level = operation.level(cotangent)

    def values(c: Tensor) -> Tensor:
        return (c * outputs.unsqueeze(1)).flatten(2).sum(2)

    torch.testing.assert_close(values(cotangent - level) + level.flatten(2).sum(2), values(cotangent))


@pytest.mark.parametrize("method", ["crown", "alpha"])
def test_the_sum_of_a_softmax_is_one_and_bounds_hold_at_samples(method: str) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 5), nn.Softmax(1)).double()
    ball = Linf(torch.rand(2, 3, dtype=torch.float64), 0.8)
    asked = torch.cat([torch.ones(1, 1, 5), torch.randn(1, 4, 5)], 1).double()
    graph = read_module(net, ball.center)
    with torch.no_grad():
        found = lower_bounds(graph, ball, asked, method)
        points = ball[[0] * 500 + [1] * 500].sample(torch.Generator().manual_seed(0))
        least = (net(points).unflatten(0, (2, 500)) @ asked[0].T).amin(1)
    assert bool((found <= least + 1e-9).all())
    torch.testing.assert_close(found[:, 0], torch.ones(2, dtype=torch.float64))
