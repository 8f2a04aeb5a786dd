"""Penalties, first weights and averages, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ballproof.networks import as_graph
from ballproof.networks.architectures import build
from ballproof.problems import ball
from ballproof.train.averages import averaged, precise_statistics
from ballproof.train.config import TrainConfig
from ballproof.train.initial import for_intervals
from ballproof.train.losses import Moment
from ballproof.train.regularizers import sparsified, unstable, warm_up


def at(weight: list[list[float]], bias: list[float], eps: float) -> Moment:
    """One layer behind a single input of 0.5, then a rectifier."""
    module = nn.Sequential(nn.Linear(1, len(bias)), nn.ReLU(), nn.Linear(len(bias), 2)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(weight))
        module[0].bias.copy_(torch.tensor(bias))
    x, y = torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([0])
    graph = as_graph(module, ball("linf", x, eps, None))
    return Moment(TrainConfig(clip=False), graph, graph, x, y, eps, torch.Generator())


def test_a_layer_that_widens_more_than_twice_costs() -> None:
    assert warm_up(at([[2.0]], [0.0], 0.1)).item() == pytest.approx(0.0, abs=1e-12)
    assert warm_up(at([[4.0]], [0.0], 0.1)).item() == pytest.approx((0.5 - 0.25) / 0.5, abs=1e-12)


def test_units_always_on_and_always_off_should_be_alike() -> None:
    """Centers 1, 3 on and -0.5 off: the means' ratio is 8, and 1/8 lies 0.375 below the threshold."""
    moment = at([[1.0], [1.0], [1.0]], [0.5, 2.5, -1.0], 0.01)
    center = torch.tensor([1.0, 3.0, -0.5])
    spread = (center - center.mean()).square()
    variances = float(spread[:2].sum() / spread[2])
    wanted = (0.5 - 1 / 8) + max(0.0, 0.5 - min(variances, 1 / variances))
    assert warm_up(moment).item() == pytest.approx(wanted / 0.5, abs=1e-9)


def test_units_that_change_sign_cost_more_than_those_that_do_not() -> None:
    moment = at([[1.0]], [-0.5], 0.1)  # the argument lies in [-0.1, 0.1]
    assert unstable(moment).item() == pytest.approx(-math.tanh(1 - 0.01), abs=1e-12)
    assert unstable(at([[1.0]], [3.5], 0.1)).item() < unstable(moment).item()


def test_interval_weights_keep_the_width_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    layers = [m for _ in range(6) for m in (nn.Linear(400, 400), nn.ReLU())]
    module = nn.Sequential(*layers, nn.Linear(400, 2)).double()
    last = module[-1].weight.clone()
    for_intervals(module, (400,))
    assert torch.equal(module[-1].weight, last)
    center, radius = torch.rand(1, 400, dtype=torch.float64), torch.full((1, 400), 0.01, dtype=torch.float64)
    widths = []
    for layer in module[:-1]:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach()
            center, radius = layer(center).detach(), radius @ weight.abs().T
        else:
            low, high = (center - radius).relu(), (center + radius).relu()
            center, radius = (low + high) / 2, (high - low) / 2
            widths.append(float(radius.mean()))
    assert all(0.5 < w / 0.01 < 2.0 for w in widths)


def test_interval_weights_behind_a_sum_of_branches_are_half_as_large() -> None:
    """Ratios of mean sizes: half for the block behind a block, whole for the first one and inside of them."""
    torch.manual_seed(0)
    module = build("wk-resnet", (3, 16, 16), 10)
    for_intervals(module, (3, 16, 16))
    layers = dict(module.named_modules())

    def ratio(name: str) -> float:
        weight = layers[name].weight.detach()
        return float(weight.std()) / (math.sqrt(2 * math.pi) / weight[0].numel())

    assert ratio("2.first") == pytest.approx(1.0, rel=0.1)
    assert ratio("2.second") == pytest.approx(1.0, rel=0.1)
    for name in ("3.first", "4.first", "4.short", "5.short", "7"):
        assert ratio(name) == pytest.approx(0.5, rel=0.15), name


def test_small_weights_become_zero_and_are_counted() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.5, -0.001], [0.002, -0.3]]))
        module[2].weight.copy_(torch.tensor([[0.01, 0.0]]))
    bias = module[0].bias.clone()
    assert sparsified(module, 0.005) == pytest.approx(3 / 6)
    assert module[0].weight.tolist() == [[0.5, 0.0], [0.0, pytest.approx(-0.3)]]
    assert torch.equal(module[0].bias, bias)


def test_averaged_weights_are_the_mean_of_the_epochs() -> None:
    module, mean, seen = nn.Linear(2, 1), None, []
    for count in range(4):
        with torch.no_grad():
            module.weight.normal_()
        seen.append(module.weight.detach().clone())
        mean = averaged(mean, count, module)
    assert torch.allclose(mean["weight"], torch.stack(seen).mean(0), atol=1e-6)


def test_precise_statistics_are_those_of_all_batches() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.2)).double().eval()
    batches = [torch.rand(8, 3, dtype=torch.float64) for _ in range(5)]
    precise_statistics(module, batches)
    outputs = [module[0](b) for b in batches]
    assert torch.allclose(module[1].running_mean, torch.stack([o.mean(0) for o in outputs]).mean(0))
    assert torch.allclose(module[1].running_var, torch.stack([o.var(0) for o in outputs]).mean(0))
    assert module[1].momentum == 0.2
    assert not module.training
