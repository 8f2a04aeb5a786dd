"""The linear program written twice, once as sparse rows and once on the blackboard, has one optimum."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from ballproof.bounds import LPMethod, lower_bounds
from ballproof.bounds.lp import TriangleLP, lp_intervals
from ballproof.bounds.lp_cvxpy import lp_minimum_cvxpy
from ballproof.bounds.memory import Budget
from ballproof.errors import InputError, UnsupportedError
from ballproof.networks import as_graph
from ballproof.networks.architectures import two_d
from ballproof.problems import L1, L2, Box, Linf, Region
from ballproof.values import Interval


class Block(nn.Module):
    """A convolution, a residual one, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.last = nn.Linear(2 * 4 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.last(torch.relu(x + self.second(x)).flatten(1))


NETS = {
    "2-100-2": (lambda: two_d((2,)), (2,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), (4,)),
    "leaky": (lambda: nn.Sequential(nn.Linear(3, 6), nn.LeakyReLU(0.3), nn.Linear(6, 3)), (3,)),
    "conv": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(27, 8),
            nn.ReLU(),
            nn.Linear(8, 3),
        ),
        (1, 6, 6),
    ),
    "residual": (Block, (1, 4, 4)),
}
REGIONS = {
    "linf": lambda x: Linf(x, 0.2),
    "linf-clip": lambda x: Linf(x, 0.3, clip=(0.0, 1.0)),
    "box": lambda x: Box(x - 0.1, x + 0.3),
    "l1-clip": lambda x: L1(x, 0.9, clip=(0.0, 1.0)),
}


def intervals(net: nn.Module, region: Region, intermediate: str) -> dict[str, Interval]:
    with torch.no_grad():
        return lp_intervals(as_graph(net, region), region, LPMethod(intermediate), Budget())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("intermediate", ["crown", "interval"])
def test_both_forms_agree(name: str, kind: str, intermediate: str) -> None:
    make, shape = NETS[name]
    net, x = make().double(), torch.rand(1, *shape, dtype=torch.float64)
    region = REGIONS[kind](x)
    graph, known = as_graph(net, region), intervals(net, region, intermediate)
    rows = torch.randn(2, *graph.output_shape, dtype=torch.float64)
    found, written = TriangleLP(graph, region, known).minimum(rows), lp_minimum_cvxpy(graph, region, known, rows)
    assert torch.allclose(found, written, rtol=0, atol=1e-6)


def test_an_l2_ball_is_between_crown_and_every_point_and_exact_without_kinks() -> None:
    net, x = NETS["mlp"][0]().double(), torch.rand(1, 4, dtype=torch.float64)
    region = L2(x, 0.4, clip=(0.0, 1.0))
    graph, known, rows = as_graph(net, region), intervals(net, region, "crown"), torch.randn(2, 3, dtype=torch.float64)
    found = lp_minimum_cvxpy(graph, region, known, rows)
    with torch.no_grad():
        assert bool((found >= lower_bounds(net, region, rows[None], "crown")[0] - 1e-6).all())
        generator = torch.Generator().manual_seed(0)
        points = torch.cat([region.sample(generator) for _ in range(500)])
        assert bool((found <= (net(points) @ rows.T).amin(0) + 1e-6).all())
    flat = nn.Sequential(nn.Linear(4, 3)).double()
    wanted = region.minimum((rows @ flat[0].weight.detach())[None])[0] + rows @ flat[0].bias.detach()
    assert torch.allclose(lp_minimum_cvxpy(as_graph(flat, region), region, {}, rows), wanted, rtol=0, atol=1e-6)


def test_max_pooling_is_refused_by_name() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 2), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2, 2)).double()
    region = Linf(torch.rand(1, 1, 4, dtype=torch.float64), 0.1)
    with pytest.raises(UnsupportedError, match=r"MaxPool.*use the method `lp`"):
        lp_minimum_cvxpy(as_graph(net, region), region, intervals(net, region, "interval"), torch.ones(1, 2).double())


def test_without_cvxpy_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    net, region = two_d((2,)).double(), Linf(torch.rand(1, 2, dtype=torch.float64), 0.1)
    with pytest.raises(InputError, match=r"pip install 'ballproof\[lp\]'"):
        lp_minimum_cvxpy(as_graph(net, region), region, {}, torch.ones(1, 2).double())
