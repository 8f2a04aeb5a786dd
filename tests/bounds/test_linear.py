"""Bounds by the dual network against the paper's formula, against sampling, and against each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import paper
import pytest
import torch
from torch import nn

from ballproof.bounds import bound, lower_bounds, margins
from ballproof.problems import L1, L2, Box, Linf, Region

METHODS = ("interval", "dual", "crown", "dual-interval", "crown-interval")


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def arrays(net: nn.Sequential) -> tuple[list[np.ndarray], list[np.ndarray]]:
    linear = [m for m in net if isinstance(m, nn.Linear)]
    return [m.weight.detach().numpy() for m in linear], [m.bias.detach().numpy() for m in linear]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4 * 5 * 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(x + self.second(x))
        return self.last(x.flatten(1))


NETS = {"mlp": (lambda: mlp(6, 16, 16, 4), (6,)), "residual": (lambda: Residual().double(), (1, 5, 5))}


def regions(x: torch.Tensor) -> dict[str, Region]:
    return {
        "linf": Linf(x, 0.1),
        "linf-clip": Linf(x, 0.3, clip=(0.0, 1.0)),
        "l2": L2(x, 0.3),
        "l2-clip": L2(x, 0.8, clip=(0.0, 1.0)),
        "l1-clip": L1(x, 0.7, clip=(0.0, 1.0)),
        "box": Box(x - 0.05, x + 0.1),
    }


@pytest.mark.parametrize("sizes", [(4, 9, 3), (5, 12, 9, 3), (3, 8, 8, 8, 2)])
@pytest.mark.parametrize("eps", [0.0, 0.05, 0.4])
def test_dual_is_the_formula_of_the_paper(sizes: tuple[int, ...], eps: float) -> None:
    net = mlp(*sizes)
    x, y = torch.rand(3, sizes[0], dtype=torch.float64), torch.tensor([0, 1, sizes[-1] - 1])
    found = margins(net, Linf(x, eps), y, "dual").detach().numpy()
    wanted = np.stack([paper.margins(*arrays(net), x[i].numpy(), int(y[i]), eps) for i in range(3)])
    assert np.abs(found - wanted).max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["linf", "linf-clip", "l2", "l2-clip", "l1-clip", "box"])
@pytest.mark.parametrize("name", list(NETS))
def test_sampled_outputs_lie_inside(name: str, kind: str, method: str) -> None:
    make, shape = NETS[name]
    net, x = make(), torch.rand(2, *shape, dtype=torch.float64)
    region = regions(x)[kind]
    found = bound(net, region, method)
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        y = net(region.sample(generator))
        assert bool((y >= found.lower - 1e-9).all()) and bool((y <= found.upper + 1e-9).all())


@pytest.mark.parametrize("method", METHODS)
def test_worst_vertex_is_not_below_the_bound(method: str) -> None:
    net, x = mlp(4, 10, 10, 2), torch.rand(1, 4, dtype=torch.float64)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4)
    worst = net(x + 0.2 * signs).min(0).values
    assert bool((bound(net, Linf(x, 0.2), method).lower[0] <= worst + 1e-9).all())


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("kind", ["linf", "linf-clip", "l2-clip"])
def test_crown_is_never_looser_than_interval_at_any_node(name: str, kind: str) -> None:
    from ballproof.bounds.interval import interval_pass
    from ballproof.networks import as_graph

    make, shape = NETS[name]
    net, x = make(), torch.rand(2, *shape, dtype=torch.float64)
    region = regions(x)[kind]
    graph = as_graph(net, region)
    box = interval_pass(graph, region.box())
    for node in graph.varying:
        found = bound(graph, region, "crown", node=node.name)
        assert bool((found.lower >= box[node.name].lower - 1e-12).all()), node.name
        assert bool((found.upper <= box[node.name].upper + 1e-12).all()), node.name


@pytest.mark.parametrize("method", METHODS)
def test_zero_radius_is_the_forward_pass(method: str) -> None:
    net, x = Residual().double(), torch.rand(3, 1, 5, 5, dtype=torch.float64)
    found = bound(net, Linf(x, 0.0), method)
    assert torch.allclose(found.lower, net(x)) and torch.allclose(found.upper, net(x))


@pytest.mark.parametrize("method", METHODS)
def test_memory_and_batch_do_not_change_the_answer(method: str) -> None:
    net, x = Residual().double(), torch.rand(4, 1, 5, 5, dtype=torch.float64)
    rows = torch.randn(1, 5, 3, dtype=torch.float64)
    with torch.no_grad():
        whole = lower_bounds(net, Linf(x, 0.1), rows, method)
        tight = lower_bounds(net, Linf(x, 0.1), rows, method, memory=1)
        alone = torch.cat([lower_bounds(net, Linf(x[[i]], 0.1), rows, method) for i in range(4)])
    assert torch.allclose(whole, tight, rtol=1e-12) and torch.allclose(whole, alone, rtol=1e-12)


def test_eps_per_example_is_each_example_alone() -> None:
    net, x = mlp(5, 9, 3), torch.rand(3, 5, dtype=torch.float64)
    eps = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
    together = bound(net, Linf(x, eps), "crown")
    for i in range(3):
        alone = bound(net, Linf(x[[i]], float(eps[i])), "crown")
        assert torch.allclose(together.lower[[i]], alone.lower) and torch.allclose(together.upper[[i]], alone.upper)


@pytest.mark.parametrize("method", METHODS)
def test_bounds_are_differentiable_in_the_parameters(method: str) -> None:
    net, x = mlp(4, 8, 6, 3), torch.rand(2, 4, dtype=torch.float64)
    rows = torch.randn(1, 2, 3, dtype=torch.float64)

    def value() -> torch.Tensor:
        return lower_bounds(net, Linf(x, 0.1), rows, method).sum()

    value().backward()
    step = 1e-6
    for parameter in net.parameters():
        assert parameter.grad is not None
        index = int(parameter.grad.abs().argmax())
        with torch.no_grad():
            parameter.view(-1)[index] += step
            above = float(value())
            parameter.view(-1)[index] -= 2 * step
            below = float(value())
            parameter.view(-1)[index] += step
        assert (above - below) / (2 * step) == pytest.approx(float(parameter.grad.view(-1)[index]), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_float32_agrees_with_float64(method: str) -> None:
    net, x = mlp(6, 16, 16, 4), torch.rand(2, 6, dtype=torch.float64)
    exact = bound(net, Linf(x, 0.1), method)
    rounded = bound(net.float(), Linf(x.float(), 0.1), method)
    assert torch.allclose(exact.lower.float(), rounded.lower, rtol=1e-4, atol=1e-5)
    assert torch.allclose(exact.upper.float(), rounded.upper, rtol=1e-4, atol=1e-5)


class Summed(nn.Module):
    """A rectifier of one number that has no axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(torch.relu(self.first(x)).sum(1) - 0.5)
        return torch.stack([x, -x], 1)


@pytest.mark.parametrize("method", [*METHODS, "zonotope", "alpha", "alpha-all", "lp"])
def test_a_number_without_axes_is_bounded_as_one_of_many(method: str) -> None:
    torch.manual_seed(0)
    net, x, labels = Summed().double(), torch.rand(3, 4, dtype=torch.float64), torch.tensor([0, 1, 0])
    many = margins(net, Linf(x, 0.1), labels, method=method)
    alone = torch.cat([margins(net, Linf(x[i : i + 1], 0.1), labels[i : i + 1], method=method) for i in range(3)])
    points = x + 0.1 * (2 * torch.rand(1000, 3, 4, dtype=torch.float64) - 1)
    values = net(points.flatten(0, 1)).reshape(1000, 3, 2)
    reached = (values[..., 0] - values[..., 1]) * (1 - 2 * labels)
    assert torch.allclose(many, alone, atol=1e-9)
    assert bool((many.flatten() <= reached.amin(0)).all()) and bool((reached.amin(0) - many.flatten() < 2).all())
