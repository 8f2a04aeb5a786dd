"""What makes no region, or cannot be asked of one: one clear line each."""

from __future__ import annotations

import pytest
import torch
from region_cases import BALLS

from ballproof.errors import InputError, UnsupportedError
from ballproof.problems import L1, L2, Box, Linf, ball

X = torch.full((3, 2, 4), 0.5)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("kind", [Linf, L2, L1])
@pytest.mark.parametrize(
    ("eps", "told"),
    [
        (-0.1, r"`eps` is -0.1, expected a finite number >= 0"),
        (NAN, r"`eps` is nan"),
        (INF, r"`eps` is inf"),
        (torch.tensor([0.1, -0.2, 0.1]), r"`eps` is -0.2"),
        (torch.ones(4), r"`eps` has shape \(4,\), expected a number or \(3,\)"),
        (torch.ones(0), r"`eps` has shape \(0,\)"),
        (torch.tensor(1j), r"`eps` is torch.complex64"),
        (True, r"`eps` is True"),
        ("0.1", r"`eps` is '0.1'"),
        (None, r"`eps` is None"),
    ],
)
def test_bad_radii(kind, eps, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told) as error:
        kind(X, eps)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [L2, L1])
def test_a_radius_for_each_pixel_is_for_linf_alone(kind) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnsupportedError, match=rf"`eps` of shape \(2, 4\).*for Linf, not {kind.__name__}"):
        kind(X, torch.ones(2, 4))


def test_a_radius_for_each_pixel_must_fit() -> None:
    with pytest.raises(InputError, match=r"`eps` has shape \(2, 3\), expected .* what broadcasts to \(3, 2, 4\)"):
        Linf(X, torch.ones(2, 3))
    with pytest.raises(InputError, match=r"`eps` has shape \(1, 3, 2, 4\)"):
        Linf(X, torch.ones(1, 3, 2, 4))
    with pytest.raises(InputError, match=r"`eps` has shape \(5,\).*write \(1, n\)"):
        Linf(torch.zeros(3, 5), torch.ones(5))


@pytest.mark.parametrize("kind", [Linf, L2, L1])
@pytest.mark.parametrize(
    ("center", "told"),
    [
        (torch.zeros(3, 2, dtype=torch.int64), r"`center` is torch.int64, expected a floating tensor"),
        (torch.zeros(3), r"`center` has shape \(3,\).*add a batch axis"),
        ([[0.0, 1.0]], r"`center` is list"),
        (torch.tensor([[0.0], [NAN]]), r"`center` is NaN or infinite in example 1"),
        (torch.tensor([[0.0], [0.0], [INF]]), r"`center` is NaN or infinite in example 2"),
    ],
)
def test_bad_centers(kind, center, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told):
        kind(center, 0.1)


@pytest.mark.parametrize("kind", [Linf, L2, L1])
def test_a_center_outside_the_range_is_named_by_its_worst_value(kind) -> None:  # type: ignore[no-untyped-def]
    x = X.clone()
    x[1, 0, 2], x[2, 1, 1] = 1.5, -0.75
    with pytest.raises(InputError, match=r"`center` holds -0.75 in example 2, outside the valid range \[0, 1\]"):
        kind(x, 0.1, (0, 1))
    with pytest.raises(InputError, match=r"`center` holds 0.5 in example 0, outside .* \[per pixel, 1\]"):
        kind(X, 0.1, (torch.tensor([[0.0], [0.6]]), 1))


@pytest.mark.parametrize("kind", [Linf, L2, L1])
@pytest.mark.parametrize(
    ("clip", "told"),
    [
        ((1, 0), r"`clip` is \[1, 0\], expected \(low, high\) with low <= high"),
        ((0, NAN), r"`clip` is \[0, nan\]"),
        ((0, 1, 2), r"`clip` is \(0, 1, 2\), expected \(low, high\)"),
        (1.0, r"`clip` is 1.0, expected \(low, high\)"),
        ((0, "1"), r"`clip` is '1'"),
        ((0, torch.ones(3)), r"`clip` has an end of shape \(3,\), expected to broadcast to \(3, 2, 4\)"),
        ((0, torch.ones(1, 3, 2, 4)), r"`clip` has an end of shape \(1, 3, 2, 4\)"),
    ],
)
def test_bad_ranges(kind, clip, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=told):
        kind(X, 0.1, clip)


@pytest.mark.parametrize(
    ("lower", "upper", "told"),
    [
        (
            torch.tensor([[0.0], [2.0]]),
            torch.tensor([[1.0], [1.5]]),
            r"`lower` exceeds `upper` by 0.5 in example 1: an empty box",
        ),
        (torch.zeros(2, 3), torch.ones(2, 2), r"`lower` is \(\(2, 3\), .* `upper` is \(\(2, 2\).*expected one shape"),
        (torch.zeros(2, 3), torch.ones(2, 3).double(), r"expected one shape, type and device"),
        (torch.zeros(2, 3), torch.full((2, 3), INF), r"`upper` is NaN or infinite in example 0"),
        (torch.full((2, 3), NAN), torch.ones(2, 3), r"`lower` is NaN or infinite in example 0"),
        (torch.zeros(2, 3).int(), torch.ones(2, 3).int(), r"`lower` is torch.int32"),
    ],
)
def test_bad_boxes(lower: torch.Tensor, upper: torch.Tensor, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Box(lower, upper)


REGIONS = [Box(X, X + 1), Linf(X, 0.1), L2(X, 0.1), L1(X, 0.1), L2(X, 0.1, (0, 1)), L1(X, 0.1, (0, 1))]


@pytest.mark.parametrize("region", REGIONS, ids=repr)
@pytest.mark.parametrize("shape", [(3, 5, 8), (2, 5, 2, 4), (3, 5, 2, 3), (3, 2, 4)])
def test_cotangents_that_do_not_fit(region, shape: tuple[int, ...]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"`cotangent` has shape .*expected \(3 or 1, query, 2, 4\)"):
        region.minimum(torch.ones(shape))


@pytest.mark.parametrize("region", REGIONS, ids=repr)
@pytest.mark.parametrize("index", [1, torch.tensor(1)])
def test_one_number_would_drop_the_batch_axis(region, index: object) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"`index` is 1, expected .* \[\[1\]\] takes one example"):
        region[index]


def test_a_ball_by_its_name() -> None:
    for norm, kind in BALLS.items():
        made = ball(norm, X, 0.1, (0, 1))
        assert type(made) is kind and made.norm == norm and made.clip is not None


@pytest.mark.parametrize(
    ("norm", "told"), [("Linf", "did you mean `linf`"), ("l_2", "did you mean `l2`"), ("cube", "linf, l2, l1, l0$")]
)
def test_an_unknown_norm_is_told_its_neighbour(norm: str, told: str) -> None:
    with pytest.raises(UnsupportedError, match=f"`norm` is '{norm}', expected one of.*{told}"):
        ball(norm, X, 0.1)
