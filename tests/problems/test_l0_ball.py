"""`L0` against the enumeration of every set of pixels: minimum, projection, members; and what makes no such ball."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch
from region_cases import normal, numbers
from torch import Tensor, nn

import ballproof as bp
from ballproof.errors import InputError
from ballproof.problems import L0, ball
from ballproof.problems.centered import Centered

SHAPES = [(5,), (2, 2, 3), (1, 6)]
TYPES = [torch.float32, torch.float64]


def masks(region: Centered, example: int) -> Tensor:
    """Every set of at most eps pixels as a mask of the coordinates, `(sets, *input)`."""
    shape, count = region.shape, int(region.reach[example])
    pixels = shape[0] if len(shape) == 1 else int(torch.Size(shape[1:]).numel())
    sets = [s for k in range(count + 1) for s in combinations(range(pixels), k)]
    found = torch.zeros(len(sets), pixels, dtype=torch.bool)
    for row, chosen in enumerate(sets):
        found[row, list(chosen)] = True
    return found if len(shape) == 1 else found.reshape(-1, 1, *shape[1:]).expand(-1, *shape)


def case(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> L0:
    """Three examples with 0, 2 and (rounded down) 1 pixels, a channel or coordinate at an end of the range."""
    center = numbers(3, *shape, dtype=dtype)
    center.flatten(1)[1, 0], center.flatten(1)[2, 1] = 0.0, 1.0
    return L0(center, torch.tensor([0.0, 2.0, 1.7], dtype=dtype), (0, 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_minimum_is_that_over_every_set_of_pixels(shape: tuple[int, ...]) -> None:
    region, c = case(shape), normal(3, 6, *shape, seed=2)
    c[:, 1], c[:, 2] = c[:, 1].round(), 0  # ties
    points = region.minimizer(c)
    for b, q in product(range(3), range(6)):
        free = masks(region, b)
        worst = torch.where(free, (c[b, q] < 0).to(c), region.center[b])
        best = float((c[b, q] * worst).flatten(1).sum(1).min())
        assert float(region.minimum(c)[b, q]) == pytest.approx(best, abs=1e-12)
        assert float((c[b, q] * points[b, q]).sum()) == pytest.approx(best, abs=1e-12)
    assert all(bool(region.contains(points[:, q]).all()) for q in range(6))
    torch.testing.assert_close(region.minimum(c[:1]), region.minimum(c[:1].expand(3, -1, *shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("far", [0.3, 2.0])
def test_no_member_is_nearer_than_the_projection(shape: tuple[int, ...], far: float) -> None:
    region = case(shape)
    x = region.center + far * normal(3, *shape, seed=4)
    y = region.project(x)
    assert bool(region.contains(y).all()) and torch.equal(region.project(y), y)
    for b in range(3):
        others = torch.where(masks(region, b), x[b].clamp(0, 1), region.center[b])
        assert float((x[b] - y[b]).norm()) == pytest.approx(float((x[b] - others).flatten(1).norm(dim=1).min()))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_samples_are_members_and_reach_ends_and_every_count(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    region, box, generator = case(shape, dtype), case(shape, dtype).box(), torch.Generator().manual_seed(1)
    drawn = torch.stack([region.sample(generator) for _ in range(80)])
    assert drawn.dtype == dtype and all(bool(region.contains(x).all()) for x in drawn)
    moved = (drawn != region.center).unflatten(2, (shape[0], -1)).any(2) if len(shape) > 1 else drawn != region.center
    counts = moved.flatten(2).sum(2)
    assert int(counts[:, 0].max()) == 0 and set(counts[:, 1].tolist()) >= {1, 2} and int(counts[:, 2].max()) == 1
    assert bool(((drawn >= box.lower) & (drawn <= box.upper)).all()) and bool(moved[:, 1].any(0).all())
    assert torch.equal(box.lower[0], region.center[0]) and bool((box.lower[1:] == 0).all() and (box.upper[1:] == 1).all())


def test_a_pixel_is_a_place_with_all_its_channels() -> None:
    x = torch.full((1, 3, 2, 2), 0.5)
    one, two = x.clone(), x.clone()
    one[0, :, 1, 0] = torch.tensor([0.0, 1.0, 0.2])
    two[0, 0, 0, 0] = two[0, 1, 0, 1] = 0.6
    region = L0(x, 1, (0, 1))
    assert region.contains(one) and not region.contains(two) and L0(x, 2, (0, 1)).contains(two)
    one[0, 0, 1, 0] = 1.1
    assert not region.contains(one) and not region.contains(x * torch.nan)


def test_parts_and_types_answer_as_the_whole() -> None:
    region, c = case((2, 2, 3)), normal(3, 4, 2, 2, 3, seed=5)
    for index in ([2, 0], slice(1, None), torch.tensor([True, False, True])):
        torch.testing.assert_close(region[index].minimum(c[index]), region.minimum(c)[index])
    single = region.to(dtype=torch.float32)
    torch.testing.assert_close(single.minimum(c.float()).double(), region.minimum(c), rtol=1e-5, atol=1e-5)
    assert repr(region) == "L0(batch=3, input=(2, 2, 3), eps<=2, clip=yes)"


def test_the_minimum_has_the_gradient_of_its_minimizer() -> None:
    region = case((5,))
    c = normal(3, 2, 5, seed=6).requires_grad_()
    assert torch.autograd.gradcheck(region.minimum, (c,))


@pytest.mark.parametrize("clip", [None, (0, torch.inf), (-torch.inf, 1)], ids=str)
def test_without_a_range_there_is_no_ball(clip: tuple[float, float] | None) -> None:
    with pytest.raises(InputError, match="an L0 ball needs `clip`"):
        L0(torch.zeros(1, 3), 1, clip)


def test_bounds_hold_on_it_and_are_exact_for_a_linear_network() -> None:
    torch.manual_seed(3)
    linear, deep = nn.Linear(6, 3), nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    region, y = ball("l0", numbers(4, 6, dtype=torch.float32), 2, (0, 1)), torch.tensor([0, 1, 2, 0])
    worst = []
    for b in range(4):
        ends = torch.tensor(list(product((0.0, 1.0), repeat=6)))
        tried = torch.where(masks(region, b)[:, None], ends, region.center[b]).flatten(0, 1)
        worst.append(
            [(net(tried)[:, [y[b]]] - net(tried))[:, [j for j in range(3) if j != y[b]]].amin(0) for net in (linear, deep)]
        )
    exact = torch.stack([w[0] for w in worst])
    torch.testing.assert_close(bp.margins(linear, region, y, method="crown"), exact, rtol=1e-5, atol=1e-5)
    for method in ("interval", "dual", "crown", "alpha", "zonotope"):
        below = bp.margins(deep, region, y, method=method)
        assert bool((below <= torch.stack([w[1] for w in worst]) + 1e-5).all()), method
