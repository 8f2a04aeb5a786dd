"""Optimised slopes: held against the dense walk with the same slopes, against sampling, and against what they start from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ballproof.bounds import margins
from ballproof.bounds.alpha import _free as free_of
from ballproof.bounds.ascent import FreeBackward
from ballproof.bounds.backward import Backward
from ballproof.bounds.free import Opened
from ballproof.bounds.interval import arguments
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import LinearMethod
from ballproof.networks import as_graph
from ballproof.operations import Nonlinear
from ballproof.problems import L2, Linf, Region

REGIONS = {"linf": lambda x: Linf(x, 0.1, clip=(0.0, 1.0)), "l2": lambda x: L2(x, 0.2)}
ACTIVATIONS = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "hardtanh": lambda: nn.Hardtanh(-0.3, 0.2),
    "prelu": lambda: nn.PReLU(4, 0.3),
}


def padded(name: str) -> nn.Sequential:
    """Convolutions whose windows leave the map on all sides, where a sigmoid of nothing is not nothing."""
    torch.manual_seed(0)
    act = ACTIVATIONS[name]
    maps = [nn.Conv2d(1, 4, 3, padding=1), act(), nn.Conv2d(4, 4, 3, padding=1, stride=2), act()]
    tail = [] if name == "prelu" else [act()]
    net = nn.Sequential(*maps, nn.Flatten(), nn.Linear(36, 10), *tail, nn.Linear(10, 4)).double().requires_grad_(False)
    for parameter in net.parameters():
        parameter.mul_(2)
    return net


def inputs() -> Tensor:
    return torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(5)).double()


def lowest(net: nn.Module, region: Region, labels: Tensor) -> Tensor:
    """The least margins of many samples."""
    generator = torch.Generator().manual_seed(2)
    found = []
    for _ in range(100):
        y = net(region.sample(generator))
        others = torch.stack([torch.cat([row[:k], row[k + 1 :]]) for row, k in zip(y, labels.tolist(), strict=True)])
        found.append(y.gather(1, labels[:, None]) - others)
    return torch.stack(found).amin(0)


@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "gelu"])
def test_optimised_bounds_of_padded_convolutions_are_sound_and_gain(name: str, kind: str) -> None:
    net, region = padded(name), REGIONS[kind](inputs())
    labels = net(region.center).argmax(1)
    least, crown = lowest(net, region, labels), margins(net, region, labels, "crown")
    alpha, every = margins(net, region, labels, "alpha"), margins(net, region, labels, "alpha-all")
    assert bool((every <= least + 1e-9).all()) and bool((alpha <= least + 1e-9).all())
    assert bool((alpha >= crown - 1e-9).all()) and bool((every >= crown - 1e-9).all())
    assert float((alpha - crown).mean()) > 1e-6


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_open_coordinates_answer_like_the_dense_walk_with_the_same_slopes(name: str) -> None:
    net, region = padded(name), Linf(inputs(), 0.1)
    graph = as_graph(net, region)
    state = LinearPass(graph, region, LinearMethod("adaptive")).run()
    free = {n.name: f for n in graph.varying if (f := free_of(state, n, state.constants, 4)) is not None}
    lines = dict(state.relaxations)
    for own in free.values():
        assert own.places is not None and isinstance(own.operation, Nonlinear)
        own.values = tuple(torch.rand_like(v) * s for v, s in zip(own.values, own.scales, strict=True))
        given = list(arguments(graph, own.node, state.intervals, state.constants))
        start = own.operation.start(*given)
        index = own.places.index.expand(-1, 4, -1)
        flat = [
            p.flatten(1).unsqueeze(1).expand(-1, 4, -1).scatter(2, index, v) for p, v in zip(start, own.values, strict=True)
        ]
        slopes = tuple(f.unflatten(2, own.node.shape) for f in flat)
        wide = [g if isinstance(g, Tensor) else type(g)(g.lower.unsqueeze(1), g.upper.unsqueeze(1)) for g in given]
        lines[own.node.name] = own.operation.relax(*wide, slope=slopes)
    queries = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    walk = FreeBackward(graph, region, state.constants, state.relaxations, free)
    walk.begin(graph.output, queries)
    expected, _ = Backward(graph, region, state.constants, lines)(graph.output, queries, both=False)
    assert torch.allclose(walk.values(), expected, atol=1e-10)
    assert torch.allclose(walk.of_examples(torch.tensor([False, True])).values(), expected[1:], atol=1e-10)


def test_the_gradients_of_opened_coordinates_are_those_of_finite_differences() -> None:
    torch.manual_seed(3)
    index = torch.stack([torch.randperm(7)[:3] for _ in range(2)]).unsqueeze(1)
    slope = torch.rand(2, 1, 7).double().scatter(2, index, 0.0)
    given = [torch.randn(2, 5, 7), torch.rand(2, 5, 3), torch.rand(2, 1, 3)]
    cotangent, below, above = (t.double().requires_grad_() for t in given)

    def ask(c: Tensor, low: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
        return Opened.apply(c, slope, index, low, up)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(ask, (cotangent, below, above))
