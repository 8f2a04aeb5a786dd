"""Where tangents touch, by a table and a few steps: as near as sixty halvings come, in the offsets of lines."""

from __future__ import annotations

import pytest
import torch

from ballproof.operations.envelope import bracketed
from ballproof.operations.gelu import Gelu
from ballproof.operations.mish import Mish
from ballproof.operations.scalar import Scalar
from ballproof.operations.silu import Silu
from ballproof.values import Interval


def halved(scalar: Scalar, slope: torch.Tensor, piece: Interval, rising: bool) -> torch.Tensor:
    low, high = piece.lower, piece.upper
    for _ in range(60):
        middle = (low + high) / 2
        left = (scalar.derivative(middle) < slope) == rising
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
    return (low + high) / 2


@pytest.mark.parametrize(("kind", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("scalar", [Gelu(), Gelu("tanh"), Silu(), Mish()], ids=repr)
@pytest.mark.parametrize("side", [1, -1])
def test_lines_are_as_good_as_those_of_many_halvings(scalar: Scalar, kind: torch.dtype, near: float, side: int) -> None:
    draw = torch.Generator().manual_seed(0)
    center, half = 4 * torch.randn(20_000, generator=draw).to(kind), 4 * torch.rand(20_000, generator=draw).to(kind) ** 3
    x = Interval(center - half, center + half)
    slope = scalar.derivative(center + half * (2 * torch.rand(20_000, generator=draw).to(kind) - 1))
    places = scalar.places(x)
    touched = [
        halved(scalar, slope, Interval(places[number], places[number + 1]), curvature > 0)
        for number, curvature in enumerate(scalar.curvature)
        if curvature == side
    ]
    best = torch.stack([side * (scalar.forward(p) - slope * p) for p in (*places, *touched)]).amin(0)
    assert float((side * scalar.offset(x, slope, side) - best).abs().max()) < near


def test_false_position_stays_in_its_piece() -> None:
    """Also where the slope is taken nowhere, where the derivative is the same at both ends, and on a single point."""
    piece = Interval(torch.tensor([-1.0, -1.0, -1.0, 0.5]), torch.tensor([2.0, 2.0, 2.0, 0.5]))
    square, slope = (lambda x: 2 * x), torch.tensor([-5.0, 9.0, 1.0, 1.0])
    assert bracketed(square, slope, piece, True, 3).tolist() == [-1.0, 2.0, 0.5, 0.5]
    assert bracketed(lambda x: -2 * x, -slope, piece, False, 3).tolist() == [-1.0, 2.0, 0.5, 0.5]
    flat = bracketed(torch.zeros_like, torch.zeros(4), piece, True, 3)
    assert bool(((flat >= piece.lower) & (flat <= piece.upper)).all())
    cube = bracketed(lambda x: x**3, torch.tensor([0.001]), Interval(torch.tensor([-1.0]), torch.tensor([10.0])), True, 30)
    assert float(cube) == pytest.approx(0.1, abs=1e-5)
