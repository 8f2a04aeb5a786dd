"""Maxima over windows as rectifiers: the same function in every shape of window."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.graph.pooling import without_pooling
from ballproof.networks import read_module
from ballproof.operations.max_pool import MaxPool

POOLS = {
    "two by two": (nn.MaxPool2d(2), (2, 4, 4)),
    "overlapping and padded": (nn.MaxPool2d(3, 2, padding=1), (2, 5, 5)),
    "dilated, rounded up": (nn.MaxPool2d(2, 2, dilation=2, ceil_mode=True), (1, 6, 5)),
    "in a row": (nn.MaxPool1d(3), (2, 9)),
    "one element": (nn.MaxPool2d(1, 2), (1, 4, 4)),
}


@pytest.mark.parametrize("name", list(POOLS))
def test_the_function_is_the_same(name: str) -> None:
    pool, shape = POOLS[name]
    torch.manual_seed(0)
    layers = nn.Sequential(pool, nn.Flatten())
    graph = read_module(layers.double(), torch.rand(2, *shape).double())
    split, x = without_pooling(graph), torch.randn(20, *shape, dtype=torch.float64)
    assert not any(isinstance(n.operation, MaxPool) for n in split.nodes)
    torch.testing.assert_close(split(x), graph(x), rtol=1e-12, atol=1e-12)
    assert {n.name: n.shape for n in graph.varying}.items() <= {n.name: n.shape for n in split.varying}.items()


def test_networks_that_pool_nothing_stay_as_they_are() -> None:
    graph = read_module(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.rand(2, 2))
    assert without_pooling(graph) is graph
