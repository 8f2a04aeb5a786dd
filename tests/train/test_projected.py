"""Random projections against what they estimate."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds import margins
from ballproof.errors import UnsupportedError
from ballproof.networks import as_graph
from ballproof.problems import ball
from ballproof.train.config import ESTIMATED, PROVEN, TrainConfig
from ballproof.train.losses import Moment
from ballproof.train.losses.projected import estimated_margins


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 20), nn.Linear(20, 20), nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).relu()
        return self.c(h + torch.tanh(self.b(h)))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 3))


def moment(net: nn.Module, norm: str, draws: int, seed: int) -> Moment:
    torch.manual_seed(7)
    x, y = torch.rand(4, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    graph = as_graph(net, ball(norm, x, 0.1, None))
    config = TrainConfig(method="dual-projected", eps=0.1, norm=norm, clip=False, projections=draws)
    return Moment(config, graph, graph, x, y, 0.1, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("make", [plain, Skip])
def test_many_draws_come_near_the_dual_bound(make: type[nn.Module], norm: str) -> None:
    torch.manual_seed(2)
    net = make().double().eval()
    at = moment(net, norm, 20_000, 0)
    exact = margins(net, at.region, at.y, "dual").detach()
    clean = at.margins_at(at.x).detach()
    found = estimated_margins(at).detach()
    assert bool(((found - exact).abs() <= 0.05 * (clean - exact)).all())  # 5 % of what the ball takes away


def test_few_draws_scatter_on_both_sides_and_are_no_bound() -> None:
    torch.manual_seed(2)
    net = plain().double().eval()
    exact = margins(net, moment(net, "linf", 1, 0).region, moment(net, "linf", 1, 0).y, "dual").detach()
    found = torch.stack([estimated_margins(moment(net, "linf", 20, seed)).detach() for seed in range(30)])
    assert bool((found > exact).any())
    assert bool((found < exact).any())
    assert "dual-projected" in ESTIMATED
    assert "dual-projected" not in PROVEN
    assert TrainConfig(method="dual-projected").certify_method == "dual"


def test_what_it_cannot_estimate_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="l1"):
        estimated_margins(moment(plain().double(), "l1", 5, 0))
    pooled = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(2, 3)).double()
    with pytest.raises(UnsupportedError, match="one number"):
        estimated_margins(moment(pooled, "linf", 5, 0))
