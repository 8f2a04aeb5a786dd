"""The facts of every scalar function against automatic differentiation and dense sampling, and its lines against the best."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
import torch
from examples import EXAMPLES, Example
from torch import Tensor

from ballproof.errors import DomainError
from ballproof.operations.exp import Exp
from ballproof.operations.log import Log
from ballproof.operations.power import Power
from ballproof.operations.relu import Relu
from ballproof.operations.scalar import Scalar
from ballproof.operations.sine import Cos, Sin, Wave
from ballproof.operations.stairs import Stairs
from ballproof.values import Interval

SCALARS = [e for e in EXAMPLES if isinstance(e.operation, Scalar) and len(e.shapes) == 1]
SMOOTH = [e for e in SCALARS if not isinstance(e.operation, Stairs)]
GRID = 4001


def named(examples: list[Example]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", examples, ids=lambda e: f"{e.operation}{e.domain}")


def pair(example: Example) -> tuple[Scalar, Example]:
    assert isinstance(example.operation, Scalar)
    return example.operation, example


def boxes(example: Example, count: int = 200, reach: float = 6.0) -> Interval:
    """Random intervals of widths up to 12, inside the domain."""
    low, high = max(example.domain[0], -reach), min(example.domain[1], reach)
    ends = low + (high - low) * torch.rand(2, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Interval(torch.minimum(*ends), torch.maximum(*ends))


def grid(x: Interval) -> Tensor:
    """Many points of each interval, `(points, count)`."""
    share = torch.linspace(0, 1, GRID, dtype=torch.float64).unsqueeze(1)
    return x.lower + share * x.width


@named(SMOOTH)
def test_the_derivative_is_that_of_the_forward(example: Example) -> None:
    scalar, _ = pair(example)
    x = boxes(example).center.requires_grad_()
    (wanted,) = torch.autograd.grad(scalar.forward(x).sum(), x)
    assert torch.allclose(scalar.derivative(x.detach()), wanted, rtol=1e-9, atol=1e-12)


@named([e for e in SMOOTH if not isinstance(e.operation, Wave)])
def test_the_pieces_bend_as_the_facts_say(example: Example) -> None:
    """The slope rises on convex pieces, falls on concave ones and stays on straight ones; it jumps at breaks as said."""
    scalar, _ = pair(example)
    ends = [max(example.domain[0], -6.0), *(p for p, _ in scalar.breaks), min(example.domain[1], 6.0)]
    for (a, b), curvature in zip(pairwise(ends), scalar.curvature, strict=True):
        if b <= a:
            continue
        x = torch.linspace(a, b, 1003, dtype=torch.float64)[1:-1]
        change = scalar.derivative(x).diff()
        bent = change * curvature > 0 if curvature else change.abs() < 1e-12
        assert bool(bent.all())
    for place, turn in scalar.breaks:
        if place in example.domain or (isinstance(scalar, Power) and scalar.exponent < 0):
            continue
        at = torch.tensor([place - 1e-7, place + 1e-7], dtype=torch.float64)
        left, right = scalar.derivative(at).tolist()
        assert (right - left) * turn > 1e-3 if turn else abs(right - left) < 1e-5


@named(SCALARS)
def test_monotone_functions_are(example: Example) -> None:
    scalar, _ = pair(example)
    change = scalar.forward(grid(boxes(example))).diff(dim=0)
    assert bool((change * scalar.monotone >= 0).all())
    falls, rises = bool((change < 0).any()), bool((change > 0).any())
    assert scalar.monotone or (falls and rises) or example.domain != (-inf, inf)


@named(SMOOTH)
@pytest.mark.parametrize("seed", range(3))
def test_the_offset_is_the_extreme_of_the_gap(example: Example, seed: int) -> None:
    """For random slopes: not inside what a grid finds (sound), and not further out than its resolution (exact)."""
    scalar, _ = pair(example)
    x = boxes(example)
    share = torch.rand(2, *x.lower.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slope = scalar.derivative((x.lower + x.width * share[0]).clamp(x.lower, x.upper))
    slope = slope.nan_to_num(0, 0, 0) * (0.5 + share[1])
    heights = scalar.forward(grid(x)) - slope * grid(x)
    step = (heights.diff(dim=0).abs().amax(0) + 1e-9) * 1.01
    for side, wanted in ((1, heights.amin(0)), (-1, heights.amax(0))):
        found = scalar.offset(x, slope, side)
        slack = 1e-12 * (1 + heights.abs().amax(0) + slope.abs() * 6)
        assert bool((side * (found - wanted) <= slack).all())
        assert bool((side * (wanted - found) <= step + slack).all())


@named([e for e in SCALARS if not isinstance(e.operation, Relu)])
def test_adaptive_lines_are_the_best_in_the_middle(example: Example) -> None:
    """No line through the middle's envelope on a grid of slopes is better; rectifiers are cut to their two pieces."""
    scalar, _ = pair(example)
    x = boxes(example, 60)
    found = scalar.relax(x, slope="adaptive")
    values, points = scalar.forward(grid(x)), grid(x)
    ends = scalar.interval(x)
    steep = (ends.upper - ends.lower) / x.width.clamp(min=1e-6) * 4 + 1e-6
    for line, side in ((found.lower, 1), (found.upper, -1)):
        own = line.slopes[0] * x.center + line.offset
        candidates = [line.slopes[0], scalar.chord(x), *(steep * s for s in torch.linspace(-1, 1, 81).double())]
        gaps = [side * (values - k * points) for k in candidates]
        best = torch.stack([g.amin(0) + side * k * x.center for g, k in zip(gaps, candidates, strict=True)]).amax(0)
        tolerance = 1e-3 * (ends.upper - ends.lower) + 1e-9
        if isinstance(scalar, Stairs):
            tolerance = 0.5 * (ends.upper - ends.lower) / x.width.clamp(min=1e-9) + 1e-9  # a grid misses the jumps
        assert bool((side * own >= best - tolerance).all())


def test_the_rules_of_the_rectifier_follow_from_its_facts() -> None:
    """What is written out for speed equals what the one rule makes of the facts."""
    x = Interval(torch.tensor([-2.0, -1, -3, 0, 1, -2, 0]).double(), torch.tensor([-1.0, 3, 1, 0, 2, 0, 2]).double())
    free = (torch.tensor([0.3, 0.2, 0.9, 0.1, 0.5, 0.4, 0.6]).double(),)
    for slope in ("parallel", "adaptive", free):
        found, wanted = Relu().relax(x, slope=slope), Scalar.relax(Relu(), x, slope=slope)  # type: ignore[arg-type]
        for a, b in ((found.lower, wanted.lower), (found.upper, wanted.upper)):
            for point in (x.lower, x.center, x.upper):
                assert torch.allclose(a.slopes[0] * point + a.offset, b.slopes[0] * point + b.offset, atol=1e-12)


@pytest.mark.parametrize(
    ("operation", "lower", "upper"),
    [
        (Log(), 0.0, 1.0),
        (Log(), -1.0, 2.0),
        (Power(-1), -1.0, 2.0),
        (Power(-1), 0.0, 2.0),
        (Power(-2), -3.0, 0.0),
        (Power(0.5), -0.1, 2.0),
        (Power(-0.5), 0.0, 2.0),
        (Exp(), 0.0, 1e4),
    ],
)
def test_an_interval_that_leaves_the_domain_is_refused(operation: Scalar, lower: float, upper: float) -> None:
    x = Interval(torch.tensor([1.0, lower]).double(), torch.tensor([2.0, upper]).double())
    with pytest.raises(DomainError, match=r"where it is not defined or not bounded \(1 such"):
        operation.interval(x)
    with pytest.raises(DomainError, match="interval"):
        operation.relax(x, slope="adaptive")


def test_the_square_and_the_sixth_power_reach_their_largest_value() -> None:
    x = Interval(torch.tensor([1.0]), torch.tensor([3.0]))
    for exponent, wanted in ((2, 9.0), (6, 729.0)):
        assert float(Power(exponent).interval(x).upper) >= wanted
        line = Power(exponent).relax(x, slope="adaptive").upper
        assert float(line.slopes[0] * 3 + line.offset) >= wanted * (1 - 1e-6)


@pytest.mark.parametrize("operation", [Sin(), Cos()])
def test_waves_far_out_have_finite_intervals(operation: Scalar) -> None:
    """Where one rounding is many turns, the square of a misplaced point is beyond float32."""
    ends = torch.tensor([-1.3e26, 2e27, -2.3e27]), torch.tensor([-7.6e25, 3e27, 8.2e28])
    found = operation.interval(Interval(*ends))
    assert bool((found.lower <= -1).all()) and bool((found.upper >= 1).all())
    assert bool(torch.isfinite(found.lower + found.upper).all())
