"""Fully connected layers without their settled units: the same lines as the dense walk, whatever stands before them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from ballproof.bounds import margins
from ballproof.bounds.linear import LinearPass
from ballproof.bounds.methods import METHODS, LinearMethod
from ballproof.bounds.skeleton import Foot, Form, Skeleton, Skeletons
from ballproof.networks import as_graph
from ballproof.problems import L2, Box, Linf, Region
from ballproof.values import Interval


def layers(*sizes: int, bend: type[nn.Module] = nn.ReLU, bias: bool = True) -> list[nn.Module]:
    found: list[nn.Module] = []
    for a, b in pairwise(sizes):
        found += [nn.Linear(a, b, bias=bias), bend()]
    return found[:-1]


NETS = {
    "deep": lambda: nn.Sequential(nn.Flatten(), *layers(64, 40, 40, 40, 40, 5)),
    "leaky": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), *layers(16, 30, 30, 30, 5, bend=nn.LeakyReLU)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), *layers(64, 40, 40, 40, 40, 5, bias=False)),
    "behind a convolution": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, 2), nn.ReLU(), nn.Flatten(), *layers(27, 40, 30, 30, 5)),
    "two matrices in a row": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 30), *layers(30, 30, 30, 30, 5)),
}
REGIONS = {
    "linf": lambda x: Linf(x, 0.02, clip=(0, 1)),
    "l2": lambda x: L2(x, 0.2),
    "box": lambda x: Box(x - 0.01, x + torch.tensor([0.0, 0.02, 0.03]).reshape(3, 1, 1, 1)),
}


def passed(net: nn.Module, region: Region) -> LinearPass:
    method = METHODS["crown"]
    assert isinstance(method, LinearMethod)
    with torch.no_grad():
        return LinearPass(as_graph(net, region), region, method).run()


@pytest.mark.parametrize("kind", list(REGIONS))
@pytest.mark.parametrize("name", list(NETS))
def test_the_lines_are_those_of_the_dense_walk(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, region = NETS[name]().double(), REGIONS[kind](torch.rand(3, 1, 8, 8).double())
    used: list[Skeleton] = []
    ask = Skeleton.ask
    monkeypatch.setattr(Skeleton, "ask", lambda self, *given: used.append(self) or ask(self, *given))
    found = passed(net, region)
    assert used
    monkeypatch.setattr(Skeletons, "of", lambda self, name: None)
    for node, wanted in passed(net, region).relaxations.items():
        own = found.relaxations[node]
        for line, other in ((own.lower, wanted.lower), (own.upper, wanted.upper)):
            assert torch.allclose(line.slopes[0], other.slopes[0], atol=1e-10)
            assert torch.allclose(line.offset, other.offset, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_foot_is_below_every_value_of_the_first_layer(dtype: torch.dtype) -> None:
    """Also where the squares cancel: rows that differ in their last digits, coefficients that take their difference."""
    torch.manual_seed(0)
    rows = torch.randn(2, 6, 50, dtype=dtype)
    rows[:, 1] = rows[:, 0] * (1 + 1e-6)
    box = Interval(-torch.rand(2, 50, dtype=dtype), torch.rand(2, 50, dtype=dtype))
    cotangent = torch.randn(2, 40, 6, dtype=dtype)
    cotangent[:, 20:] = torch.tensor([1.0, -1, 0, 0, 0, 0], dtype=dtype)
    foot = Foot.of(rows, box)
    found = foot.lower(cotangent).double()
    pulled = (cotangent.double() @ rows.double()).unsqueeze(2)
    exact = torch.minimum(pulled * box.lower.double()[:, None, None], pulled * box.upper.double()[:, None, None]).sum((2, 3))
    slack = 1e-5 if dtype == torch.float32 else 1e-12
    assert bool((foot.glance(cotangent) <= exact + slack * cotangent.double().abs().sum(2)).all())
    assert bool((found <= exact + slack * cotangent.double().abs().sum(2)).all())
    assert bool((found[:, :20] >= 2.5 * exact[:, :20]).all())


SMALL = [(1e-24, 1e24), (1e-30, 1e30), (1.0, 1e-26), (1e-26, 1.0), (1e8, 1e-34), (0.0, 1.0)]


@pytest.mark.parametrize(("size", "share"), SMALL)
def test_the_foot_holds_where_squares_are_too_small_for_the_type(size: float, share: float) -> None:
    """Half of the rows and of the coefficients: a network stays the same if one layer is divided by what the next is times."""
    torch.manual_seed(0)
    rows, cotangent = torch.randn(2, 8, 50), torch.randn(2, 40, 8)
    rows[:, :4], cotangent[:, :, :4] = size * rows[:, :4], share * cotangent[:, :, :4]
    cotangent[:, 20:, 4:] = 0
    radius = 0.5 * torch.rand(2, 50)
    foot = Foot.of(rows, Interval(-radius, radius))
    pulled = cotangent.double() @ rows.double()
    exact = -(pulled.abs() @ radius.double().unsqueeze(2)).squeeze(2)
    for found in (foot.glance(cotangent), foot.lower(cotangent)):
        assert bool((found <= 0.999 * exact).all())


def test_a_foot_that_examples_share_is_below_the_first_layer_of_each() -> None:
    torch.manual_seed(0)
    form = Form(torch.randn(1, 9, 50, dtype=torch.float64), torch.randn(1, 9, dtype=torch.float64))
    center, radius = torch.randn(3, 50, dtype=torch.float64), 0.1 + 0.003 * torch.rand(3, 50, dtype=torch.float64)
    box, index = Interval(center - radius, center + radius), torch.stack([torch.randperm(9)[:6] for _ in range(3)])
    foot, cotangent = Foot.at(form, index, box), torch.randn(3, 40, 6, dtype=torch.float64)
    assert foot.total.shape == (1, 1)
    pulled = cotangent @ form.at(index).rows
    exact = (pulled @ center.unsqueeze(2) - pulled.abs() @ radius.unsqueeze(2)).squeeze(2)
    alone = Foot.of(form.at(index).rows, box).lower(cotangent)
    assert bool((foot.lower(cotangent) <= exact).all()) and bool(
        (alone - foot.lower(cotangent) <= 0.03 * exact.abs().max()).all()
    )
    wide = Interval(
        center - radius * torch.tensor([[1.0], [2.0], [1.0]]), center + radius * torch.tensor([[1.0], [2.0], [1.0]])
    )
    assert Foot.at(form, index, wide).total.shape == (3, 1)


@pytest.mark.parametrize("rows", [torch.randn(1, 40, 60), torch.ones(1, 5, 8), torch.zeros(1, 3, 4), torch.eye(6)[None]])
def test_no_square_is_larger_than_the_spread(rows: torch.Tensor) -> None:
    """The largest eigenvalue of the products of rows of length 1; on random rows it is met within 1.5 times."""
    radius = torch.linspace(0.5, 1.0, rows.shape[2])[None]
    foot = Foot.of(rows, Interval(-radius, radius))
    weighted = (rows[0] * radius.sqrt()).double()
    unit = weighted / weighted.norm(dim=1, keepdim=True).clamp(min=1e-30)
    largest = float(torch.linalg.eigvalsh(unit @ unit.T).amax())
    assert largest <= float(foot.spread) <= 1.5 * max(largest, 1.0)


def test_a_glance_proves_no_more_than_the_whole_walk() -> None:
    """Queries of the last layer whose bent units may lie anywhere on their intervals, and points of the ball."""
    torch.manual_seed(0)
    net, region = NETS["deep"]().double(), Linf(torch.rand(3, 1, 8, 8).double(), 0.02)
    state = passed(net, region)
    with torch.no_grad():
        bones = state.skeletons.of(state.graph.output)
        assert bones is not None and len(bones.bends) == 4
        index = torch.arange(5).expand(3, -1)
        for sign in (1.0, -1.0):
            rows, constant = bones.form.at(index).parts
            found = bones._glance(rows * sign, constant * sign)
            values = torch.stack([net(region.sample()) for _ in range(300)])
            assert bool((found <= (sign * values).amin(0) + 1e-9).all())
            assert bool((found >= (sign * values).amin(0) - 0.02).all())


def test_where_everything_bends_the_dense_walk_is_taken() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 1, 8, 8).double()
    state = passed(NETS["deep"]().double(), Linf(x, 5.0))
    names = [n.name for n in state.graph.varying if n.shape == (40,)]
    assert all(state.skeletons.of(name) is None for name in names)


def test_a_small_budget_takes_the_dense_walk() -> None:
    torch.manual_seed(0)
    region = Linf(torch.rand(3, 1, 8, 8).double(), 0.02)
    state = passed(NETS["deep"]().double(), region)
    deep = state.graph.output
    with torch.no_grad():
        assert state.skeletons.of(deep) is not None
        few = Skeletons(state.graph, state.constants, state.relaxations, state.intervals, boxed=True, limit=100)
        assert few.of(deep) is None


@pytest.mark.parametrize("size", [1e-21, 1e21])
def test_a_network_in_other_units_has_the_same_bounds(size: float) -> None:
    """The first layer in units of 1 / size, the second one back: squares of its weights are zero or infinite."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), *layers(64, 40, 40, 40, 40, 5)).requires_grad_(False)
    region, labels = Linf(torch.rand(3, 1, 8, 8), 0.02), torch.tensor([0, 1, 2])
    first, second = (m for m in list(net)[1:4] if isinstance(m, nn.Linear))
    with torch.no_grad():
        wanted = margins(net, region, labels, "crown")
        first.weight *= size
        first.bias *= size
        second.weight /= size
        torch.testing.assert_close(margins(net, region, labels, "crown"), wanted, rtol=1e-5, atol=1e-6)
