"""Windows against the dense walk: two ways to the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds.linear import LinearPass
from ballproof.bounds.local import sight
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import METHODS, LinearMethod
from ballproof.bounds.placed import PlacedBackward, Rows
from ballproof.networks import as_graph
from ballproof.networks.architectures import Normalize
from ballproof.problems import Box, Linf, Region


class Residual(nn.Module):
    """Two ways from a map to the next, of different windows; the second block has no weights on its short way."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = nn.Conv2d(1, 3, 3, stride=2, padding=1)
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.short, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.ahead(x))
        x = torch.relu(self.short(x) - self.second(torch.relu(self.first(x))))
        return self.last(x)[:, :2]


class Strided(nn.Module):
    """A strided layer of few channels at the input, and a strided short way of which every second cell is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = nn.Conv2d(2, 3, 3, stride=2, padding=1)
        self.first, self.second = nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d(5, 5, 3, padding=1)
        self.short, self.last = nn.Conv2d(3, 5, 1, stride=2), nn.Conv2d(5, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.ahead(x))
        x = torch.relu(self.short(x) + self.second(torch.relu(self.first(x))))
        return torch.relu(self.last(x)).sum((2, 3))


class AroundTheFirst(nn.Module):
    """The input goes to a strided layer and past it by a short way."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.short = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(2, 5, 1, stride=4)
        self.second, self.last = nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.Conv2d(5, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.short(x) + self.second(torch.relu(self.ahead(x))))
        return torch.relu(self.last(x)).sum((2, 3))


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.ahead(x))
        return x + self.last(torch.relu(x - 0.1))


NETS = {
    "groups": lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 2)),
    "onto many channels": lambda: nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 9, 3, 2), nn.ReLU(), nn.Conv2d(9, 2, 2)
    ),
    "doubled": Doubled,
    "strided": lambda: nn.Sequential(nn.Conv2d(1, 3, 4, 2, 1), nn.ReLU(), nn.Conv2d(3, 4, 4, 2, 1)),
    "dilated": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, 1, 2, 2), nn.ReLU(), nn.Conv2d(3, 2, 3, (2, 1), (0, 1))),
    "no bias": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Conv2d(3, 2, 2, bias=False)),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval(),
    "two in a row": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 2)
    ),
    "normalised": lambda: nn.Sequential(Normalize([0.3], [0.5]), nn.Conv2d(1, 3, 3, 2, 1), nn.LeakyReLU(), nn.Conv2d(3, 2, 2)),
    "steep and deep": lambda: nn.Sequential(
        *(layer for a, b in ((1, 2), (2, 3), (3, 3)) for layer in (nn.Conv2d(a, b, 2), nn.LeakyReLU(3.0))), nn.Conv2d(3, 2, 2)
    ),
    "three deep": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 2)),
}


def randomised(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_()
    return net.double()


@pytest.mark.parametrize("method", ["dual", "crown"])
@pytest.mark.parametrize("name", list(NETS))
@pytest.mark.parametrize("kind", ["linf", "box"])
def test_windows_are_equal_to_the_dense_walk(name: str, method: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = randomised(NETS[name]()), torch.rand(2, 1, 19, 18, dtype=torch.float64)
    region: Region = Linf(x, 0.1, clip=(0, 1)) if kind == "linf" else Box(x - 0.1, x + 0.2)
    graph, settings = as_graph(net, region), METHODS[method]
    assert isinstance(settings, LinearMethod)
    assert sight(graph, graph.output) is not None
    with torch.no_grad():
        windows = LinearPass(graph, region, settings).run().every_coordinate(graph.output)
        monkeypatch.setattr(LinearPass, "_sight", lambda self, name: None)
        dense = LinearPass(graph, region, settings).run().every_coordinate(graph.output)
    assert torch.allclose(windows.lower, dense.lower, atol=1e-11) and torch.allclose(windows.upper, dense.upper, atol=1e-11)


def test_windows_of_branches_are_equal_to_the_dense_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, x = Residual().double(), torch.rand(2, 1, 39, 36, dtype=torch.float64)
    graph, region, settings = as_graph(net, x), Linf(x, 0.05), METHODS["crown"]
    assert isinstance(settings, LinearMethod)
    seen = [n.name for n in graph.varying if sight(graph, n.name) is not None]
    assert any("sub" in name for name in seen)
    with torch.no_grad():
        windows = LinearPass(graph, region, settings).run()
        monkeypatch.setattr(LinearPass, "_sight", lambda self, name: None)
        dense = LinearPass(graph, region, settings).run()
    for name, relaxation in windows.relaxations.items():
        other = dense.relaxations[name]
        assert torch.allclose(relaxation.upper.offset, other.upper.offset, atol=1e-10)
        assert torch.allclose(relaxation.lower.slopes[0], other.lower.slopes[0], atol=1e-10)


@pytest.mark.parametrize(("kind", "behind"), [(Strided, {"ahead", "short"}), (AroundTheFirst, {"short"})])
def test_windows_of_strided_branches_are_equal_to_the_dense_walk(
    kind: type[nn.Module], behind: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    net, x = kind().double(), torch.rand(2, 2, 45, 44, dtype=torch.float64)
    graph, region, settings = as_graph(net, x), Linf(x, 0.02, clip=(0, 1)), METHODS["crown"]
    assert isinstance(settings, LinearMethod)
    met: list[str] = []
    taken = PlacedBackward._taken_behind
    monkeypatch.setattr(PlacedBackward, "_taken_behind", lambda self, node, o: met.append(node.name) or taken(self, node, o))
    with torch.no_grad():
        windows = LinearPass(graph, region, settings).run()
        assert behind <= set(met)
        monkeypatch.setattr(LinearPass, "_sight", lambda self, name: None)
        dense = LinearPass(graph, region, settings).run()
    for name, relaxation in windows.relaxations.items():
        other = dense.relaxations[name]
        assert torch.allclose(relaxation.upper.offset, other.upper.offset, atol=1e-10)
        assert torch.allclose(relaxation.lower.slopes[0], other.lower.slopes[0], atol=1e-10)


@pytest.mark.parametrize("name", list(NETS))
def test_one_end_at_a_time_gives_the_lines_of_both(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking the likelier end first, and dropping what is settled, changes no line."""
    net, x = randomised(NETS[name]()), torch.rand(2, 1, 19, 18, dtype=torch.float64)
    net = nn.Sequential(net, nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2)).double()
    net(x)
    graph, settings = as_graph(net, x), METHODS["crown"]
    assert isinstance(settings, LinearMethod)
    with torch.no_grad():
        found = LinearPass(graph, Linf(x, 0.03), settings).run()
        monkeypatch.setattr("ballproof.bounds.linear.racing", lambda operation, inputs: None)
        wanted = LinearPass(graph, Linf(x, 0.03), settings).run()
    for node, relaxation in wanted.relaxations.items():
        own = found.relaxations[node]
        assert torch.allclose(own.upper.slopes[0], relaxation.upper.slopes[0], atol=1e-10)
        assert torch.allclose(own.upper.offset, relaxation.upper.offset, atol=1e-10)
        assert torch.allclose(own.lower.slopes[0], relaxation.lower.slopes[0], atol=1e-10)


def test_gradients_are_equal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = randomised(NETS["three deep"]()), torch.rand(2, 1, 19, 18, dtype=torch.float64)
    graph, settings = as_graph(net, x), METHODS["dual"]
    assert isinstance(settings, LinearMethod)

    def gradients() -> list[torch.Tensor]:
        ends = LinearPass(graph, Linf(x, 0.1), settings).run().every_coordinate(graph.output)
        return list(torch.autograd.grad((ends.upper - ends.lower).square().sum(), list(net.parameters())))

    windows = gradients()
    monkeypatch.setattr(LinearPass, "_sight", lambda self, name: None)
    for a, b in zip(windows, gradients(), strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_paths_that_do_not_pay_or_branch_are_not_taken() -> None:
    small = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    graph = as_graph(small, torch.rand(1, 1, 5, 5))
    assert sight(graph, graph.output) is None
    flat = as_graph(nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), torch.rand(1, 1, 5, 5))
    assert sight(flat, flat.output) is None


@pytest.mark.parametrize("name", ["steep and deep", "three deep", "groups"])
def test_one_end_at_a_time_does_not_depend_on_the_memory(name: str) -> None:
    net, x = randomised(NETS[name]()), torch.rand(3, 1, 19, 18, dtype=torch.float64)
    net = nn.Sequential(net, nn.ReLU(), nn.Flatten(), nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2)).double()
    net(x)
    graph, settings = as_graph(net, x), METHODS["crown"]
    assert isinstance(settings, LinearMethod)
    with torch.no_grad():
        wanted = LinearPass(graph, Linf(x, 0.03), settings).run()
        found = LinearPass(graph, Linf(x, 0.03), settings, Budget(2**17)).run()
    for node, relaxation in wanted.relaxations.items():
        own = found.relaxations[node]
        assert torch.allclose(own.upper.slopes[0], relaxation.upper.slopes[0], atol=1e-10)
        assert torch.allclose(own.upper.offset, relaxation.upper.offset, atol=1e-10)
        assert torch.allclose(own.lower.slopes[0], relaxation.lower.slopes[0], atol=1e-10)


@pytest.mark.parametrize("counts", [[1], [7, 7, 6, 1], [3, 1, 1, 1], [16] * 30 + [1] * 200])
def test_every_neuron_has_a_row_at_its_cell(counts: list[int]) -> None:
    place = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)) * 3
    rows = Rows.of(place)
    each = rows.place.repeat_interleave(len(rows.query) // len(rows.place))
    assert torch.equal(rows.query[rows.row], torch.arange(len(place)))
    assert torch.equal(each, place[rows.query])
