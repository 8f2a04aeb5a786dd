"""TAPS: the cut of a network, the way gradients take back into the box, the product of both losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.errors import UnsupportedError
from ballproof.graph.cut import behind
from ballproof.networks import as_graph, read_module
from ballproof.problems import ball
from ballproof.train.config import TrainConfig
from ballproof.train.losses import LOSSES, Moment
from ballproof.train.losses.taps import Connector, attacked_margins, cut_place


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).double()


def moment(module: nn.Module, eps: float = 0.1, **settings: object) -> Moment:
    torch.manual_seed(2)
    x, y = torch.rand(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    graph = as_graph(module, ball("linf", x, eps, (0.0, 1.0)))
    config = TrainConfig(method="taps", eps=0.1, **settings)  # type: ignore[arg-type]
    return Moment(config, graph, graph, x, y, eps, torch.Generator().manual_seed(0))


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        return self.b(h.relu()) + h


def test_both_parts_of_a_cut_make_the_network() -> None:
    module = net()
    graph = read_module(module, torch.rand(2, 3, dtype=torch.float64))
    x = torch.rand(4, 3, dtype=torch.float64)
    for node in graph.varying[:-1]:
        front, rest = graph.until(node.name), behind(graph, node.name)
        assert torch.allclose(rest(front(x)), module(x), atol=1e-12)
    assert behind(graph, graph.input) is graph


def test_a_node_that_others_pass_by_is_no_cut() -> None:
    graph = read_module(Skip().double(), torch.rand(2, 3, dtype=torch.float64))
    bend = next(n.name for n in graph.varying if type(n.operation).__name__ == "Relu")
    with pytest.raises(UnsupportedError, match="in two"):
        behind(graph, bend)


def test_the_last_block_has_as_many_nonlinear_nodes_as_asked() -> None:
    graph = moment(net()).graph
    for split in (1, 2, 9):
        rest = behind(graph, cut_place(graph, split))
        assert sum(type(n.operation).__name__ == "Relu" for n in rest.varying) == min(split, 2)


def test_gradients_reach_the_near_end_in_proportion() -> None:
    lower, upper = torch.zeros(5, requires_grad=True), torch.full((5,), 4.0, requires_grad=True)
    point = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    Connector.apply(point, lower, upper).sum().backward()
    assert lower.grad is not None
    assert upper.grad is not None
    assert lower.grad.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert upper.grad.tolist() == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_attacked_margins_lie_between_the_proven_and_the_clean_ones() -> None:
    at = moment(net(), walk_steps=8, walk_size=0.5)
    found, proven = attacked_margins(at, at.region), at.interval_margins()
    assert bool((found >= proven - 1e-9).all())
    assert found.mean() < at.margins_at(at.x).mean()


def test_the_loss_is_the_product_and_intervals_alone_while_the_ball_grows() -> None:
    at, again = moment(net()), moment(net())
    by_intervals = LOSSES["interval"](again)
    inside = F.cross_entropy(
        torch.cat([torch.zeros(5, 1, dtype=torch.float64), -attacked_margins(again, again.region)], 1), torch.zeros(5).long()
    )
    assert LOSSES["taps"](at).item() == pytest.approx((inside * by_intervals).item(), abs=1e-9)
    small = moment(net(), eps=0.05)
    assert LOSSES["taps"](small).item() == pytest.approx(LOSSES["interval"](small).item(), abs=1e-12)


def test_the_scale_weighs_the_gradient_of_the_attack_alone() -> None:
    gradients = []
    for scale in (0.0, 1.0, 2.0):
        module = net()
        LOSSES["taps"](moment(module, taps_scale=scale)).backward()
        gradients.append(module[0].weight.grad)
    first, second, third = gradients
    assert torch.allclose(third - second, second - first, atol=1e-9)  # type: ignore[operator]
    assert not torch.allclose(second, first)  # type: ignore[arg-type]
