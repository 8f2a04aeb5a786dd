"""Nodes that hold one number and no axis: every method bounds them and every engine decides them, as a grid of points says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import ballproof as bp
from ballproof.problems import Property

METHODS = ("interval", "zonotope", "dual", "crown", "alpha", "alpha-all", "lp", "lp-all", "sdp")


class Summed(nn.Module):
    """Two numbers of each example, bent, and put in a vector again."""

    def __init__(self, bend: nn.Module) -> None:
        super().__init__()
        self.first, self.bend = nn.Linear(2, 6), bend

    def forward(self, x: Tensor) -> Tensor:
        h = self.bend(self.first(x))
        a, b = self.bend(h.sum(1) - 1.5), self.bend(h[:, 0] - 0.3)
        return torch.stack([a, 0.5 * b - a, a + b], 1)


def made(bend: nn.Module) -> tuple[nn.Module, bp.Linf, Tensor]:
    """A network, a box, and the least value of each output on a grid of it."""
    torch.manual_seed(4)
    net, center = Summed(bend).double().requires_grad_(False), torch.tensor([[0.2, -0.1]], dtype=torch.float64)
    axis = torch.linspace(-0.6, 0.6, 301, dtype=torch.float64)
    points = center + torch.cartesian_prod(axis, axis)
    return net, bp.Linf(center, 0.6), net(points).amin(0)


@pytest.mark.parametrize("joined", [torch.mul, torch.div, torch.maximum, torch.minimum])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in {"zonotope", "sdp"}])
def test_functions_of_two_numbers_are_bounded(joined: Callable[[Tensor, Tensor], Tensor], method: str) -> None:
    class Joined(Summed):
        def forward(self, x: Tensor) -> Tensor:
            h = self.bend(self.first(x))
            return torch.stack([joined(h.sum(1) + 1, h.mean(1) + 1), h[:, 0]], 1)

    torch.manual_seed(4)
    net, center = Joined(nn.ReLU()).double().requires_grad_(False), torch.tensor([[0.2, -0.1]], dtype=torch.float64)
    points = center + torch.cartesian_prod(*2 * [torch.linspace(-0.3, 0.3, 101, dtype=torch.float64)])
    lower = bp.lower_bounds(net, bp.Linf(center, 0.3), torch.eye(2).double().unsqueeze(0), method)[0]
    assert bool((lower <= net(points).amin(0) + 1e-9).all()) and bool(lower.isfinite().all())


@pytest.mark.parametrize("bend", [nn.ReLU(), nn.Tanh()])
def test_bounds_hold_and_tighten(bend: nn.Module) -> None:
    net, region, least = made(bend)
    known = [m for m in METHODS if isinstance(bend, nn.ReLU) or m != "sdp"]
    found = {m: bp.lower_bounds(net, region, torch.eye(3).double().unsqueeze(0), m)[0] for m in known}
    for name, lower in found.items():
        assert bool((lower <= least + 1e-9).all()), name
    for loose, tight in (("interval", "crown"), ("crown", "alpha"), ("crown", "alpha-all")):
        assert bool((found[tight] >= found[loose] - 1e-6).all()), tight
    assert bool((found["alpha-all"] > found["interval"] + 1e-3).any())


ENGINES = [(nn.ReLU(), e) for e in ("auto", "inputs", "neurons", "milp", "smt")] + [
    (nn.Tanh(), e) for e in ("auto", "inputs", "neurons")
]


@pytest.mark.parametrize(("bend", "engine"), ENGINES)
def test_engines_decide_both_sides_of_the_minimum(bend: nn.Module, engine: str) -> None:
    net, region, least = made(bend)
    for output, sign in ((0, 1), (1, 1), (2, -1)):
        row = torch.zeros(1, 1, 3).double()
        row[0, 0, output] = 1.0
        asked = Property(row, torch.full((1, 1), sign * 0.02 - least[output].item()).double(), (0,))
        wanted = "verified" if sign > 0 else "falsified"
        assert bp.verify(net, region, asked, timeout=20, engine=engine).status.name.lower() == wanted, (output, engine)
