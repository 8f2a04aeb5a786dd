"""Oracle: the module itself in training mode: its outputs, its gradients and the buffers that it leaves behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.graph.statistics import batch_statistics, update_running_statistics, with_batch_statistics
from ballproof.networks import read_module


class Residual(nn.Module):
    def __init__(self, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.first, self.shared = (
            nn.BatchNorm2d(3, momentum=0.3),
            nn.BatchNorm2d(3, eps=1e-2, momentum=momentum, affine=False),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.BatchNorm1d(5, momentum=momentum))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(self.conv(x)))
        return self.head(self.shared(self.shared(y) * 2 + y))


def made(momentum: float | None = 0.1) -> tuple[nn.Module, Graph, Tensor]:
    torch.manual_seed(0)
    module = Residual(momentum).double().train()
    x = torch.rand(6, 2, 4, 4, dtype=torch.float64)
    return module, read_module(module, x), x


def test_outputs_and_gradients_are_those_of_the_training_module() -> None:
    module, graph, x = made()
    parameters = list(module.parameters())
    fresh = with_batch_statistics(graph, x)
    found = fresh(x)
    wanted = copy.deepcopy(module)(x)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    weights = torch.rand_like(found)
    ours = torch.autograd.grad((found * weights).sum(), parameters)
    theirs = torch.autograd.grad((module(x) * weights).sum(), parameters)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_the_statistics_are_fixed_once_taken() -> None:
    module, graph, x = made()
    fresh = with_batch_statistics(graph, x)
    other = torch.rand(2, 2, 4, 4, dtype=torch.float64)
    one, two = fresh(other), torch.cat([fresh(other[:1]), fresh(other[1:])])
    torch.testing.assert_close(one, two)
    assert not torch.allclose(one, module(other))
    assert fresh.nodes[0].name == graph.nodes[0].name and fresh.output == graph.output


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0, None])
def test_running_statistics_move_as_in_torch(momentum: float | None) -> None:
    module, graph, x = made(momentum)
    reference = copy.deepcopy(module)
    for step in range(3):
        update_running_statistics(graph, x + step)
        reference(x + step)
    for name, wanted in reference.named_buffers():
        torch.testing.assert_close(dict(module.named_buffers())[name], wanted, rtol=1e-12, atol=1e-12)
    assert int(module.first.num_batches_tracked) == 3
    assert int(module.shared.num_batches_tracked) == 6


def test_given_statistics_serve_both() -> None:
    module, graph, x = made()
    reference = copy.deepcopy(module)
    statistics = batch_statistics(graph, x)
    wanted = reference(x)
    torch.testing.assert_close(with_batch_statistics(graph, statistics)(x), wanted)
    update_running_statistics(graph, statistics)
    torch.testing.assert_close(module.first.running_var, reference.first.running_var, rtol=1e-12, atol=1e-12)


def test_a_frozen_layer_keeps_its_running_statistics() -> None:
    module, graph, x = made()
    module.first.eval()
    reference = copy.deepcopy(module)
    torch.testing.assert_close(with_batch_statistics(graph, x)(x), reference(x))
    update_running_statistics(graph, x)
    for name, wanted in reference.named_buffers():
        torch.testing.assert_close(dict(module.named_buffers())[name], wanted)


def test_without_normalisation_nothing_changes() -> None:
    graph = read_module(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.zeros(1, 3))
    assert batch_statistics(graph, torch.ones(2, 3)) == {}
    x = torch.rand(4, 3)
    torch.testing.assert_close(with_batch_statistics(graph, x)(x), graph(x))


def test_one_value_a_channel_is_refused() -> None:
    graph = read_module(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), torch.zeros(1, 3))
    with pytest.raises(InputError, match=r"`1`.*two or more"):
        with_batch_statistics(graph, torch.ones(1, 3))
