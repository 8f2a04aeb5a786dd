"""The hybrid zonotope, MMR and the semidefinite loss against enumeration, other bounds and second programs."""

from __future__ import annotations

from itertools import pairwise, product

import cvxpy as cp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.bounds import margins
from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import as_graph
from ballproof.problems import Linf, ball
from ballproof.train.config import TrainConfig
from ballproof.train.losses import LOSSES, Moment
from ballproof.train.losses.hybrid_zonotope import hybrid_margins
from ballproof.train.losses.mmr import distances
from ballproof.train.losses.sdp import most_change, sdp_margins

EPS = 0.15


def net(*sizes: int, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(1)
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), act())]
    module = nn.Sequential(*layers[:-1]).double()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(2.0)
    return module


def moment(module: nn.Module, eps: float = EPS, **settings: object) -> Moment:
    config = TrainConfig(eps=EPS, eps_until=1, **settings)  # type: ignore[arg-type]
    torch.manual_seed(5)
    first = next(module.parameters()).shape[1]
    x, y = torch.rand(6, first, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 2])
    graph = as_graph(module, ball("linf", x, eps, (0.0, 1.0)))
    return Moment(config, graph, graph, x, y, eps, torch.Generator().manual_seed(0))


def sampled_margins(at: Moment, count: int = 500) -> Tensor:
    """The least margins over sampled points of the ball."""
    least, generator = torch.full((6, 2), torch.inf, dtype=torch.float64), torch.Generator().manual_seed(0)
    for _ in range(count):
        least = torch.minimum(least, at.margins_at(Linf(at.x, at.eps, clip=(0, 1)).sample(generator)).detach())
    return least


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Softplus, nn.Hardtanh])
@pytest.mark.parametrize("symbols", [0, 1, 3, 9])
def test_hybrid_zonotopes_hold_every_sampled_point(symbols: int, act: type[nn.Module]) -> None:
    at = moment(net(4, 12, 8, 3, act=act), method="hybrid-zonotope", symbols=symbols)
    proven = hybrid_margins(at)
    assert bool((proven <= sampled_margins(at) + 1e-9).all())
    assert bool(torch.isfinite(proven).all())


def test_with_every_symbol_a_settled_network_is_exact_and_a_small_one_is_beaten_by_none() -> None:
    """With no unit unsettled the output is affine in the symbols, so the bound is the minimum over the corners."""
    at = moment(net(4, 12, 3), eps=1e-4, method="hybrid-zonotope", symbols=4)
    corners = torch.tensor(list(product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
    box = at.region.box()
    values = torch.stack([at.margins_at(box.center + box.radius * c) for c in corners]).amin(0)
    assert torch.allclose(hybrid_margins(at), values, atol=1e-12)
    few = moment(net(4, 12, 3), eps=1e-4, method="hybrid-zonotope", symbols=1)
    assert bool((hybrid_margins(few) <= values + 1e-12).all())
    assert bool((hybrid_margins(few) < values - 1e-9).any())


def test_hybrid_zonotopes_go_through_convolutions_and_branches() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(48, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(self.first(x))
            return self.last((torch.relu(self.second(y)) + y).flatten(1))

    torch.manual_seed(0)
    module = Branch().double()
    x, y = torch.rand(6, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 2])
    graph = as_graph(module, ball("linf", x, EPS, (0.0, 1.0)))
    config = TrainConfig(eps=EPS, eps_until=1, method="hybrid-zonotope", symbols=5)
    at = Moment(config, graph, graph, x, y, EPS, torch.Generator().manual_seed(0))
    assert bool((hybrid_margins(at) <= sampled_margins(at, 500) + 1e-9).all())


class Joined(nn.Module):
    """A constant beside what varies."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(7, 3)
        self.register_buffer("beside", torch.tensor([0.5, -0.3]))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        return self.last(torch.cat([y, self.beside.unsqueeze(0).expand(x.shape[0], 2)], 1))


@pytest.mark.parametrize("symbols", [0, 2])
def test_hybrid_zonotopes_stand_beside_a_constant(symbols: int) -> None:
    torch.manual_seed(0)
    at = moment(Joined().double(), method="hybrid-zonotope", symbols=symbols)
    proven = hybrid_margins(at)
    assert bool((proven <= sampled_margins(at) + 1e-9).all())
    assert bool((proven >= at.interval_margins() - 2.0).all())


class Logarithm(nn.Module):
    """Of numbers that are positive by intervals, and by a line with a gap are not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.log(torch.sigmoid(8 * self.first(x)) + 0.01))


@pytest.mark.parametrize("symbols", [0, 4])
def test_hybrid_zonotopes_stay_where_a_function_is_defined(symbols: int) -> None:
    torch.manual_seed(0)
    at = moment(Logarithm().double(), method="hybrid-zonotope", symbols=symbols)
    proven = hybrid_margins(at)
    assert bool(torch.isfinite(proven).all())
    assert bool((proven <= sampled_margins(at) + 1e-9).all())


def test_distances_of_mmr_are_where_units_and_decisions_change() -> None:
    """Along the steepest sign direction a unit, or a decision, is zero at exactly the distance that is told."""
    module = net(4, 10, 6, 3)
    at = moment(module, method="mmr")
    borders, decision = distances(at.graph, at.x, at.rows, "linf")
    x = at.x.clone().requires_grad_(True)
    first = module[0](x)
    second = module[2](module[1](first))
    units = torch.cat([first, second], 1)
    for j in range(units.shape[1]):
        (slope,) = torch.autograd.grad(units[:, j].sum(), x, retain_graph=True)
        wanted = units[:, j].abs() / slope.abs().sum(1)
        assert torch.allclose(borders[:, j], wanted, atol=1e-9)
    logits = module(x)
    for q in range(2):
        value = (at.rows[:, q] * logits).sum(1)
        (slope,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
        assert torch.allclose(decision[:, q], value / slope.abs().sum(1), atol=1e-9)
        euclidean = distances(at.graph, at.x, at.rows, "l2")[1][:, q]
        assert torch.allclose(euclidean, value / slope.square().sum(1).sqrt(), atol=1e-9)
    assert bool((decision < 0).any()) and bool((decision > 0).any())


def test_a_point_moved_by_less_than_its_distances_stays_in_its_region() -> None:
    module = net(4, 10, 6, 3)
    at = moment(module, method="mmr")
    borders, _ = distances(at.graph, at.x, at.rows, "linf")
    pattern = lambda x: torch.cat([module[0](x) > 0, module[2](module[1](module[0](x))) > 0], 1)  # noqa: E731
    nearest, generator = borders.amin(1, keepdim=True), torch.Generator().manual_seed(0)
    for _ in range(300):
        way = torch.rand(at.x.shape, generator=generator, dtype=torch.float64) * 2 - 1
        way = way / way.abs().amax(1, keepdim=True)
        assert torch.equal(pattern(at.x + 0.999 * nearest * way), pattern(at.x))


def test_mmr_is_cross_entropy_and_hinges() -> None:
    module = net(4, 10, 3)
    at = moment(module, method="mmr", mmr_weight=0.7, mmr_reach=2.0, mmr_share=0.3)
    borders, decision = distances(at.graph, at.x, at.rows, "linf")
    near = borders.sort(1).values[:, :3]
    hinges = F.relu(1 - near / (2 * EPS)).mean() + F.relu(1 - decision / (2 * EPS)).mean()
    assert LOSSES["mmr"](at).item() == pytest.approx((F.cross_entropy(module(at.x), at.y) + 0.7 * hinges).item(), abs=1e-9)


def test_mmr_of_a_network_that_ends_in_a_rectifier_has_both_distances() -> None:
    """The last rectifier is a border of the region, and the output whose decisions are measured: by hand for one layer."""
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).double()
    with torch.no_grad():
        module[0].bias.fill_(3.0)  # every unit is on all over the ball
    at = moment(module, method="mmr")
    borders, decision = distances(at.graph, at.x, at.rows, "linf")
    weight, value = module[0].weight, module(at.x)
    for i, label in enumerate(at.y.tolist()):
        assert torch.allclose(borders[i], value[i] / weight.abs().sum(1))
        others = [j for j in range(3) if j != label]
        wanted = [(value[i, label] - value[i, j]) / (weight[label] - weight[j]).abs().sum() for j in others]
        assert torch.allclose(decision[i], torch.stack(wanted))
    assert bool(torch.isfinite(LOSSES["mmr"](at)))


def test_mmr_refuses_what_it_has_no_regions_for() -> None:
    with pytest.raises(UnsupportedError, match="rectifiers"):
        LOSSES["mmr"](moment(net(4, 5, 3, act=nn.Tanh), method="mmr"))
    with pytest.raises(InputError, match="l1"):
        LOSSES["mmr"](moment(net(4, 5, 3), method="mmr", norm="l1"))


def test_the_semidefinite_bound_is_above_every_corner_and_near_the_program() -> None:
    """All 2^4 x 2^5 corners of t' A (1, r) by enumeration, and the primal program by another solver."""
    module = net(4, 5, 3)
    weight, last = module[0].weight.detach(), module[2].weight.detach()
    found = most_change(weight, last)
    assert torch.equal(found, found.T) and bool((found.diagonal() == 0).all())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        v = last[i] - last[j]
        A = torch.cat([(weight.T @ v).unsqueeze(1), weight.T * v], 1).numpy()
        signs = lambda n: np.array(list(product((-1.0, 1.0), repeat=n)))  # noqa: E731
        corners = float((signs(4) @ A @ np.insert(signs(5), 0, 1.0, axis=1).T).max())
        P = cp.Variable((10, 10), symmetric=True)
        program = cp.Problem(cp.Maximize(cp.trace(A.T @ P[:4, 4:])), [P >> 0, cp.diag(P) <= 1])
        relaxed = program.solve(solver="CLARABEL")
        assert corners <= relaxed + 1e-5 <= float(found[i, j]) + 1e-4
        assert float(found[i, j]) <= 1.1 * relaxed


def test_semidefinite_margins_hold_every_sampled_point() -> None:
    at = moment(net(4, 9, 3), method="sdp")
    assert bool((sdp_margins(at) <= sampled_margins(at) + 1e-9).all())


def test_the_semidefinite_loss_trains_and_refuses_other_networks() -> None:
    module = net(4, 9, 3)
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    first = last = 0.0
    for step in range(40):
        loss = LOSSES["sdp"](moment(module, method="sdp"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.85 * first
    at = moment(module, method="sdp")
    exact = margins(module, at.region, at.y, "crown")
    assert bool((sdp_margins(at) <= sampled_margins(at) + 1e-9).all()) and exact.shape == (6, 2)
    with pytest.raises(UnsupportedError, match="one hidden layer"):
        LOSSES["sdp"](moment(net(4, 6, 6, 3), method="sdp"))
    with pytest.raises(InputError, match="linf"):
        LOSSES["sdp"](moment(net(4, 6, 3), method="sdp", norm="l2"))


def test_the_semidefinite_loss_refuses_layers_of_several_axes() -> None:
    """One weight for each of three rows is no dense layer; 9 x 4 and 3 x 9 would fit each other."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(9, 3)).double()
    x, y = torch.rand(6, 3, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 2])
    graph = as_graph(module, ball("linf", x, EPS, (0.0, 1.0)))
    config = TrainConfig(eps=EPS, eps_until=1, method="sdp")
    with pytest.raises(UnsupportedError, match=r"layers of one axis; .* has shape \(3, 3\)"):
        LOSSES["sdp"](Moment(config, graph, graph, x, y, EPS, torch.Generator()))


def test_semidefinite_margins_are_no_rougher_in_mixed_precision() -> None:
    module = net(4, 9, 3)
    plain, mixed = (sdp_margins(moment(module, method="sdp", precision=p)) for p in ("float32", "mixed"))
    assert torch.equal(plain, mixed)
