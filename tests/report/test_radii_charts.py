"""The charts of radii: their steps against counting."""

from __future__ import annotations

from bisect import bisect_right

import pytest

from ballproof.report.radii import radius_chart, smoothed_chart, stairs


@pytest.mark.parametrize("count", [5, 8])
def test_the_steps_are_the_share_with_a_larger_radius(count: int) -> None:
    radii = [0.3, 0.0, 0.1, 0.3, 0.7]
    places, shares = stairs(radii, count)
    for eps in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9):
        assert shares[bisect_right(places, eps) - 1] == pytest.approx(100 * sum(r > eps for r in radii) / count)


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_the_charts_are_pictures(norm: str) -> None:
    rows = [{"attacked": None, "certified": 1.0}, {"attacked": 2.0, "certified": 0.0}]
    assert radius_chart(rows, 3.0, norm).startswith("<svg") and radius_chart([], 3.0, norm).startswith("<svg")
    smoothed = [{"radius": 1.0, "certified": True}, {"radius": 2.0, "certified": False}]
    assert smoothed_chart(smoothed, norm).startswith("<svg") and smoothed_chart([], norm).startswith("<svg")
