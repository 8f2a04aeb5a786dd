"""The laws that `Region` states, on every kind of region."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from region_cases import BALLS, BATCH, NAMES, SHAPE, cases, normal, numbers

from ballproof.problems import L1, L2, Box, Linf, Region
from ballproof.problems.centered import Centered

TYPES = [torch.float32, torch.float64]
QUERIES = 5


def dot(cotangent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`(batch or 1, query, *input) · (batch, query or 1, *input)` without the code under test."""
    return (cotangent * x).flatten(2).sum(2)


def members(region: Region, count: int = 24) -> torch.Tensor:
    """Samples, `(count, batch, *input)`."""
    generator = torch.Generator().manual_seed(3)
    return torch.stack([region.sample(generator) for _ in range(count)])


def slack(region: Region) -> float:
    """Rounding of sums of some twenty numbers of size 10 (the huge balls reach 100)."""
    return 300 * torch.finfo(region.dtype).eps


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
class TestLaws:
    def test_minimizers_are_contained_and_attain_the_minimum(self, name: str, dtype: torch.dtype) -> None:
        region, c = cases(dtype)[name], normal(BATCH, QUERIES, *SHAPE, seed=5, dtype=dtype)
        c[0, 0], c[1, 1] = 0, c[1, 1].sign()
        points = region.minimizer(c)
        assert points.shape == c.shape and points.dtype == dtype
        assert all(bool(region.contains(points[:, q]).all()) for q in range(QUERIES))
        torch.testing.assert_close(dot(c, points), region.minimum(c), rtol=slack(region), atol=slack(region))

    def test_no_sample_is_below_the_minimum(self, name: str, dtype: torch.dtype) -> None:
        region, c = cases(dtype)[name], normal(BATCH, QUERIES, *SHAPE, seed=6, dtype=dtype)
        least = torch.stack([dot(c, x.unsqueeze(1)) for x in members(region)]).amin(0)
        assert bool((least >= region.minimum(c) - slack(region)).all())

    def test_samples_are_contained_and_in_the_box(self, name: str, dtype: torch.dtype) -> None:
        region = cases(dtype)[name]
        box = region.box()
        for x in members(region):
            assert x.shape == (BATCH, *SHAPE) and x.dtype == dtype
            assert bool(region.contains(x).all())
            assert bool(((x >= box.lower) & (x <= box.upper)).all())

    def test_the_box_is_the_smallest(self, name: str, dtype: torch.dtype) -> None:
        region, box = cases(dtype)[name], cases(dtype)[name].box()
        n = region.like[0].numel()
        axes = torch.eye(n, dtype=dtype).reshape(1, n, *SHAPE)
        close = {"rtol": slack(region), "atol": slack(region)}
        torch.testing.assert_close(region.minimum(axes), box.lower.flatten(1), **close)
        torch.testing.assert_close(-region.minimum(-axes), box.upper.flatten(1), **close)

    def test_projections_are_contained_and_points_of_the_region_stay(self, name: str, dtype: torch.dtype) -> None:
        region = cases(dtype)[name]
        for seed, far in enumerate([0.01, 1.0, 50.0, 1e6]):
            x = region.like + far * normal(BATCH, *SHAPE, seed=seed, dtype=dtype)
            assert bool(region.contains(region.project(x)).all())
        for x in members(region, 8):
            assert torch.equal(region.project(x), x)

    def test_projections_are_nearest(self, name: str, dtype: torch.dtype) -> None:
        """y is the point of a convex set nearest to x iff no point z of it has (x - y)·(z - y) > 0."""
        region = cases(dtype)[name]
        for seed, far in enumerate([0.3, 3.0, 30.0]):
            x = region.like + far * normal(BATCH, *SHAPE, seed=seed + 40, dtype=dtype)
            y = region.project(x)
            away = (x - y).unsqueeze(1)
            gap = region.extent(away).upper - dot(away, y.unsqueeze(1))
            assert float(gap.max()) <= far * max(1, far) * slack(region)

    def test_a_shared_cotangent_equals_its_copies(self, name: str, dtype: torch.dtype) -> None:
        region, c = cases(dtype)[name], normal(1, QUERIES, *SHAPE, seed=7, dtype=dtype)
        copies = c.expand(BATCH, *c.shape[1:]).clone()
        close = {"rtol": slack(region), "atol": slack(region)}
        torch.testing.assert_close(region.minimum(c), region.minimum(copies), **close)
        torch.testing.assert_close(region.minimizer(c), region.minimizer(copies), **close)
        torch.testing.assert_close(region.extent(c).upper, -region.minimum(-copies), **close)

    def test_a_sub_batch_answers_as_the_whole(self, name: str, dtype: torch.dtype) -> None:
        region, c = cases(dtype)[name], normal(BATCH, QUERIES, *SHAPE, seed=8, dtype=dtype)
        x, close = region.like + normal(BATCH, *SHAPE, seed=9, dtype=dtype), {"rtol": slack(region), "atol": slack(region)}
        mask, twice = torch.tensor([True, False, True]), torch.tensor([2, 2])
        for index in ([2], [1, 0], [], slice(1, None), twice, mask):
            part = region[index]
            assert part.batch == len(c[index]) and part.shape == SHAPE
            torch.testing.assert_close(part.minimum(c[index]), region.minimum(c)[index], **close)
            torch.testing.assert_close(part.project(x[index]), region.project(x)[index], **close)
            assert torch.equal(part.box().lower, region.box().lower[index])

    def test_it_can_change_its_type(self, name: str, dtype: torch.dtype) -> None:
        region, c = cases(dtype)[name], normal(1, QUERIES, *SHAPE, seed=10)
        other = region.to(dtype=torch.float64)
        assert other.dtype == other.box().lower.dtype == torch.float64 and type(other) is type(region)
        assert other.shape == region.shape and other.device == region.device
        found = region.minimum(c.to(dtype)).double()
        torch.testing.assert_close(found, other.minimum(c), rtol=slack(region), atol=slack(region))

    def test_steps_have_length_one_and_ascend_fastest(self, name: str, dtype: torch.dtype) -> None:
        region, g = cases(dtype)[name], normal(BATCH, *SHAPE, seed=11, dtype=dtype)
        g[1] = 0
        g[2] = g[2] * 1e-30
        step, flat = region.step(g), g.flatten(1)
        dual = {"l2": flat[0].norm(), "l1": flat[0].abs().max()}.get(region.norm, flat[0].abs().sum())
        length = {"l2": step.flatten(1).norm(dim=1), "l1": step.flatten(1).abs().sum(1)}.get(
            region.norm, step.flatten(1).abs().amax(1)
        )
        torch.testing.assert_close(length, torch.tensor([1.0, 0.0, 1.0], dtype=dtype))
        torch.testing.assert_close((step[0] * g[0]).sum(), dual)


@given(
    norm=st.sampled_from(sorted(BALLS)),
    batch=st.integers(1, 4),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    eps=st.sampled_from([0.0, 1e-6, 0.01, 0.3, 2.0]),
    cut=st.booleans(),
    dtype=st.sampled_from(TYPES),
    seed=st.integers(0, 99),
)
def test_every_shape_is_served(norm, batch, shape, eps, cut, dtype, seed) -> None:  # type: ignore[no-untyped-def]
    region = BALLS[norm](numbers(batch, *shape, seed=seed, dtype=dtype), eps, (0, 1) if cut else None)
    c = normal(batch, 3, *shape, seed=seed, dtype=dtype)
    points = region.minimizer(c)
    assert all(bool(region.contains(points[:, q]).all()) for q in range(3))
    torch.testing.assert_close(dot(c, points), region.minimum(c), rtol=slack(region), atol=slack(region))
    x = region.project(normal(batch, *shape, seed=seed + 1, dtype=dtype))
    assert bool((region.contains(x) & region.contains(region.sample())).all())


@pytest.mark.parametrize("norm", sorted(BALLS))
def test_membership_is_that_of_the_definition(norm: str) -> None:
    region = BALLS[norm](torch.full((1, 2), 0.5), 0.25, (0.4, 1))
    x = torch.tensor([[0.5, 0.75], [0.5, 0.76], [0.65, 0.65], [0.7, 0.7], [0.39, 0.5], [torch.nan, 0.5]])
    want = {
        "linf": [True, False, True, True, False, False],
        "l2": [True, False, True, False, False, False],
        "l1": [True, False, False, False, False, False],
    }[norm]
    found = [bool(region.contains(row[None])[0]) for row in x]
    assert found == want
    assert bool(region.contains(x[1:2], tolerance=0.02)) and bool(region.contains(x[4:5], tolerance=0.02))


@pytest.mark.parametrize("norm", sorted(BALLS))
def test_a_radius_of_zero_is_a_point(norm: str) -> None:
    center, c = numbers(2, 5), normal(2, 3, 5)
    region = BALLS[norm](center, 0, (0, 1))
    torch.testing.assert_close(region.minimum(c), dot(c, center.unsqueeze(1)))
    assert torch.equal(region.sample(), center) and torch.equal(region.project(center + 1), center)
    assert torch.equal(region.minimizer(c), center.unsqueeze(1).expand(c.shape))


@pytest.mark.parametrize("norm", sorted(BALLS))
def test_a_huge_ball_is_the_valid_range(norm: str) -> None:
    region, box = BALLS[norm](numbers(2, 5), 1e3, (0, 1)), Box(torch.zeros(2, 5).double(), torch.ones(2, 5).double())
    c = normal(2, 3, 5)
    torch.testing.assert_close(region.minimum(c), c.clamp(max=0).sum(2))
    torch.testing.assert_close(region.minimizer(c), box.minimizer(c))
    torch.testing.assert_close(region.project(5 * c[:, 0]), (5 * c[:, 0]).clamp(0, 1))


def test_a_radius_for_each_pixel_moves_that_pixel() -> None:
    center, eps = torch.full((2, 1, 2), 0.5), torch.tensor([[[0.1, 0.2]], [[0.3, 0.0]]])
    torch.testing.assert_close(Linf(center, eps).box().lower, 0.5 - eps)
    torch.testing.assert_close(Linf(center, eps[:1]).box().upper, (0.5 + eps[:1]).expand(2, 1, 2))
    torch.testing.assert_close(Linf(center, eps[0]).box().upper, (0.5 + eps[:1]).expand(2, 1, 2))


def test_one_axis_is_a_radius_for_each_example_even_where_it_could_be_one_for_each_coordinate() -> None:
    center, eps = torch.zeros(2, 2), torch.tensor([1.0, 2.0])
    assert Linf(center, eps).box().upper.tolist() == [[1, 1], [2, 2]]
    assert Linf(center, eps[None]).box().upper.tolist() == [[1, 2], [1, 2]]


def test_a_channel_radius_broadcasts_from_the_right() -> None:
    eps = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    box = Linf(torch.zeros(3, 3, 2, 2), eps).box()
    torch.testing.assert_close(box.upper, eps.expand(3, 3, 2, 2))


@pytest.mark.parametrize("name", NAMES)
def test_samples_reach_the_boundary_and_the_corners(name: str) -> None:
    region = cases()[name]
    drawn, box = members(region, 60).flatten(2), region.box()
    width = box.width.flatten(1)
    at_end = ((drawn - box.lower.flatten(1)).abs() < 1e-12) | ((drawn - box.upper.flatten(1)).abs() < 1e-12)
    if isinstance(region, Centered) and not isinstance(region, Linf):
        moved = drawn - region.center.flatten(1)
        length = moved.norm(dim=2) if isinstance(region, L2) else moved.abs().sum(2)
        assert bool(((length > 0.999 * region.reach.flatten()) | at_end.all(2)).any(0).all())
    else:
        assert bool(at_end.all(2).any(0).all())
    assert bool(((drawn.amax(0) - drawn.amin(0) > 0.2 * width) | (width == 0)).all())


def test_draws_repeat_with_their_generator() -> None:
    for region in cases().values():
        first, second = (region.sample(torch.Generator().manual_seed(s)) for s in (4, 4))
        assert torch.equal(first, second)


@pytest.mark.parametrize("ball", [L2, L1])
def test_queries_taken_in_parts_are_the_same(ball, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    region, c = ball(numbers(2, 6), 0.4, (0, 1)), normal(2, 9, 6)
    whole = region.minimum(c), region.minimizer(c)
    monkeypatch.setattr("ballproof.problems.cutball.CHUNK", 30)
    assert torch.equal(region.minimum(c), whole[0]) and torch.equal(region.minimizer(c), whole[1])


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("ball", [Linf, L2, L1])
def test_cotangents_of_any_size_keep_their_minimizer(ball, size: float) -> None:  # type: ignore[no-untyped-def]
    region, c = ball(numbers(2, 6, dtype=torch.float32), 0.4, (0, 1)), normal(2, 9, 6, dtype=torch.float32)
    found = region.minimizer(c * size)
    torch.testing.assert_close(found, region.minimizer(c))
    torch.testing.assert_close(region.minimum(c * size) / size, region.minimum(c), rtol=1e-5, atol=1e-5)


def test_a_center_outside_by_rounding_is_moved_in() -> None:
    for ball in BALLS.values():
        region = ball(torch.tensor([[1 + 5e-7, 0.5]]), 0.0, (0, 1))
        assert region.center.tolist() == [[1.0, 0.5]] and bool(region.contains(region.center))


def test_the_repr_is_short_and_says_the_settings() -> None:
    assert repr(L2(torch.zeros(2, 3), 0.5, (0, 1))) == "L2(batch=2, input=(3,), eps=0.5, clip=yes)"
    assert repr(Linf(torch.zeros(2, 3), torch.tensor([0.5, 0.25]))) == "Linf(batch=2, input=(3,), eps<=0.5, clip=no)"
    assert repr(Box(torch.zeros(2, 3), torch.zeros(2, 3))) == "Box(batch=2, input=(3,))"


def test_l1_and_l2_are_what_they_are_called() -> None:
    center = torch.zeros(1, 2)
    point = torch.tensor([[3.0, 4.0]])
    assert L2(center, 5.0).contains(point) and not L2(center, 4.9).contains(point)
    assert L1(center, 7.0).contains(point) and not L1(center, 6.9).contains(point)
