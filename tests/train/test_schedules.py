"""Schedules against their definitions."""

from __future__ import annotations

import pytest

from ballproof.train.schedules import Ramp, Steps


def test_straight_ramp_by_hand() -> None:
    ramp = Ramp(0.0, 1.0, first=2, last=6)
    assert [ramp(e) for e in (0, 2, 3, 5, 6, 9)] == [0.0, 0.0, 0.25, 0.75, 1.0, 1.0]


def test_smooth_ramp_meets_in_value_and_slope_and_reaches_the_end() -> None:
    ramp = Ramp(0.0, 1.0, first=0, last=1, smooth=True)
    step = 1e-6
    for meeting in (0.25, 1.0 - 1e-9):
        assert ramp(meeting) == pytest.approx(ramp(meeting - 1e-9), abs=1e-7)
    before, after = ramp(0.25) - ramp(0.25 - step), ramp(0.25 + step) - ramp(0.25)
    assert before == pytest.approx(after, rel=1e-3)
    values = [ramp(i / 100) for i in range(101)]
    assert values == sorted(values) and values[0] == 0.0 and values[-1] == 1.0


def test_steps_multiply_at_each_milestone() -> None:
    rate = Steps(1.0, (3, 5), 0.5)
    assert [rate(e) for e in (0, 2.9, 3, 5, 7)] == [1.0, 1.0, 0.5, 0.25, 0.25]
