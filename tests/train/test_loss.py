"""The robust loss against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ballproof.errors import InputError
from ballproof.problems import Linf
from ballproof.train import robust_loss

METHODS = ("interval", "dual", "crown", "dual-interval", "crown-interval")


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)).double()


@pytest.mark.parametrize("method", METHODS)
def test_at_radius_zero_it_is_cross_entropy(method: str) -> None:
    module, x, y = net(), torch.rand(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    wanted = F.cross_entropy(module(x), y)
    assert robust_loss(module, x, y, 0.0, method=method).item() == pytest.approx(wanted.item(), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_at_least_the_cross_entropy_of_every_sampled_point(method: str) -> None:
    module, x, y = net(), torch.rand(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    worst = robust_loss(module, x, y, 0.2, method=method, reduction="none")
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        point = Linf(x, 0.2, clip=(0, 1)).sample(generator)
        assert bool((F.cross_entropy(module(point), y, reduction="none") <= worst + 1e-9).all())


def test_one_neuron_by_hand() -> None:
    """f(x) = (relu(x), 0), x in [-1, 3]: the chord gives relu >= -3/4 in the dual's line, so the margin is -0.75."""
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), ([[1.0]], [0.0], [[1.0], [0.0]], [0.0, 0.0]), strict=True):
            parameter.copy_(torch.tensor(value, dtype=torch.float64))
    x, y = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([0])
    loss = robust_loss(module, x, y, 2.0, clip=None, method="dual")
    assert loss.item() == pytest.approx(math.log(1 + math.exp(0.75)), abs=1e-12)


def test_dropout_that_is_active_is_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3)).train()
    with pytest.raises(InputError, match="dropout"):
        robust_loss(module, torch.rand(2, 4), torch.tensor([0, 1]), 0.1)


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_a_bad_radius_is_refused(eps: float) -> None:
    with pytest.raises(InputError, match="eps"):
        robust_loss(net(), torch.rand(2, 4, dtype=torch.float64), torch.tensor([0, 1]), eps)


def test_inputs_outside_the_valid_range_are_refused() -> None:
    with pytest.raises(InputError):
        robust_loss(net(), torch.rand(2, 4, dtype=torch.float64) + 1, torch.tensor([0, 1]), 0.1)


def test_batch_norm_in_training_uses_and_updates_what_a_forward_pass_would() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double().train()
    twin = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).double().train()
    twin.load_state_dict(module.state_dict())
    x, y = torch.rand(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    wanted = F.cross_entropy(twin(x), y)
    found = robust_loss(module, x, y, 0.0, method="dual")
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), abs=1e-9)
    assert torch.allclose(module[1].running_mean, twin[1].running_mean)
    assert torch.allclose(module[1].running_var, twin[1].running_var)
    found.backward()
    wanted.backward()
    for a, b in zip(module.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-8)
