"""Schedules against their definitions."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from ballproof.errors import InputError
from ballproof.train.config import TrainConfig, make_config
from ballproof.train.objective import objective
from ballproof.train.schedules import Points, Ramp, Steps


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


def test_points_are_joined_by_straight_lines() -> None:
    points = Points([[2, 1.0], [4, 3.0], [8, 1.0]])
    assert [points(e) for e in (0, 2, 3, 4, 5, 7.999999999, 8, 20)] == pytest.approx([1, 1, 2, 3, 2.5, 1, 1, 1])
    assert Points([[3, 7]])(0) == Points([[3, 7]])(9) == 7


def test_scheduled_settings_are_those_of_their_epoch() -> None:
    recipe = {"schedule": {"expressive_alpha": [[1, 0.0], [3, 1.0]], "walk_steps": [[0, 1], [4, 9]]}}
    config = make_config(recipe, "here")
    assert [config.at(e).expressive_alpha for e in (0, 2, 5)] == [0.0, 0.5, 1.0]
    assert [config.at(e).walk_steps for e in (0, 1.2, 4)] == [1, 3, 9]
    assert config.at(2).eps_at(3) == config.eps_at(3) and config.at(2).at(0) == config.at(2)
    assert json.loads(json.dumps(config.as_dict()))["schedule"] == recipe["schedule"]
    assert TrainConfig().at(3) == TrainConfig()


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"expresive_alpha": [[0, 1.0]]}, "did you mean `expressive_alpha`"),
        ({"lr": [[0, 1.0]]}, "`schedule` is 'lr', expected one of"),
        ({"sabr_share": [[0, 1.5]]}, "`sabr_share` is 1.5, expected a share"),
        ({"walk_steps": [[0, 1.5]]}, "`walk_steps` is 1.5, expected a whole number"),
        ({"sabr_share": [[2, 0.5], [2, 0.6]]}, "expected ones that grow"),
        ({"sabr_share": [["a", 0.5]]}, "`schedule.sabr_share` is 'a', expected a number"),
        ({"sabr_share": []}, "expected a list of"),
        ({"sabr_share": 0.5}, "expected a list of"),
        ({"sabr_share": [[1, 2, 3]]}, "expected a list of"),
        (3, "`schedule` is 3, expected a table"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(schedule: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        TrainConfig(schedule=schedule)  # type: ignore[arg-type]


def test_a_loss_sees_the_settings_of_its_step() -> None:
    """MTL-IBP from the attacked loss to the interval loss: at both ends the robust loss is that of the end."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    x, y = torch.rand(5, 3), torch.tensor([0, 1, 0, 1, 1])
    config = TrainConfig(method="mtl-ibp", eps_until=0, schedule={"expressive_alpha": [[0, 0.0], [2, 1.0]]})
    ends = [
        objective(replace(config, schedule={}, expressive_alpha=a), module, x, y, e)[1].item() for a, e in ((0.0, 0), (1.0, 2))
    ]
    found = [objective(config, module, x, y, e)[1].item() for e in (0, 2)]
    assert found == pytest.approx(ends) and ends[0] < ends[1]


def test_whole_numbers_are_numbers() -> None:
    assert TrainConfig(lr=1, eps_until=3, lr_milestones=(1, 2.5)).lr == 1
