"""Schedules against their definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ballproof.errors import InputError
from ballproof.train.config import TrainConfig
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


def test_the_robust_loss_is_told_row_by_row() -> None:
    """While kappa is 1 the robust loss is the clean one, which bounds nothing."""
    config = TrainConfig(method="interval", kappa_start=1.0, kappa_end=0.5, eps_from=2.0, eps_until=4.0)
    assert [config.loss_is(e, e + 0.75) for e in (0, 1, 2, 3)] == ["no bound", "no bound", "no bound", "bound"]
    assert replace(config, method="dual-projected").loss_is(1.0) == "no bound"
    assert replace(config, method="dual-projected").loss_is(3.0) == "estimate"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("symbols", 2.5, "a whole number"),
        ("walk_steps", 1.5, "a whole number"),
        ("batch", 50.5, "a whole number"),
        ("seed", 1.5, "a whole number"),
        ("epochs", True, "a whole number"),
        ("lr", "fast", "a number"),
        ("clip", 1, "true or false"),
        ("data", 3, "a word"),
        ("lr_milestones", 3.0, "a list of numbers"),
        ("lr_milestones", ("a",), "a list of numbers"),
    ],
)
def test_settings_of_another_kind_are_refused(name: str, value: object, told: str) -> None:
    with pytest.raises(InputError, match=f"`{name}` is .*, expected {told}$"):
        TrainConfig(**{name: value})  # type: ignore[arg-type]


def test_whole_numbers_are_numbers() -> None:
    assert TrainConfig(lr=1, eps_until=3, lr_milestones=(1, 2.5)).lr == 1
