"""Which intervals count as exact: checked against the range found by queries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.bounds import bound
from ballproof.bounds.interval import exact_on_boxes, interval_pass
from ballproof.networks import as_graph
from ballproof.problems import Linf


class Copies(nn.Module):
    """Broadcasts each input over three outputs, then takes differences that vanish."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 3))
        self.last = nn.Linear(3, 1, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([[1.0, -1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x * self.scale)


NETS = {
    "one layer": (nn.Sequential(nn.Linear(3, 4)), (3,), True),
    "normalised": (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.ReLU()).eval(), (3,), True),
    "two layers": (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), (3,), False),
    "copies": (Copies(), (1,), False),
}


@pytest.mark.parametrize("name", list(NETS))
def test_exact_means_exact(name: str) -> None:
    net, shape, exact = NETS[name]
    net, x = net.double(), torch.rand(2, *shape, dtype=torch.float64)
    region = Linf(x, 0.3)
    graph = as_graph(net, region)
    assert (graph.output in exact_on_boxes(graph)) == exact
    with torch.no_grad():
        box = interval_pass(graph, region.box())[graph.output]
        generator = torch.Generator().manual_seed(0)
        seen = torch.stack([graph(region.sample(generator)) for _ in range(4000)])
        tight = bound(graph, region, "crown")
    assert bool((tight.upper - seen.amax(0) < 0.1).all()) and bool((seen.amin(0) - tight.lower < 0.1).all())
    if exact:
        assert torch.allclose(box.lower, tight.lower) and torch.allclose(box.upper, tight.upper)
