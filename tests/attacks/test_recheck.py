"""What a search believed never reaches a result: membership and outputs are asked again."""

from __future__ import annotations

import pytest
import torch
from small_nets import REGIONS, inputs, plane_net, region
from torch import Tensor, nn

from ballproof.attacks import PGD, recheck, search
from ballproof.attacks.goal import Misclassify
from ballproof.attacks.space import rounding
from ballproof.errors import SoundnessError


@pytest.mark.parametrize("name", REGIONS)
def test_a_point_outside_raises(name: str) -> None:
    net, x = plane_net(1), inputs(4, 2, 1)
    ball, goal = region(name, x, 0.1), Misclassify(torch.zeros(4, dtype=torch.long))
    points = ball.project(x)
    assert len(recheck(net, ball, goal, points, 10)) == 4
    points[2, 0] += 0.4
    with pytest.raises(SoundnessError, match="example 2 of 4"):
        recheck(net, ball, goal, points, 10)


def test_nan_points_are_outside() -> None:
    net, x = plane_net(1), inputs(4, 2, 1)
    with pytest.raises(SoundnessError, match="example 0"):
        recheck(net, region("l2", x, 0.1), Misclassify(torch.zeros(4, dtype=torch.long)), x * torch.nan, 10)


def test_a_search_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that forgets to project, and one that calls everything broken."""
    net, x = plane_net(1), inputs(8, 2, 1)
    y, ball = net(x).argmax(1), region("linf", x, 0.05)
    honest = PGD(steps=5)(net, ball, y)
    monkeypatch.setattr(type(ball), "project", lambda self, points: points)
    with pytest.raises(SoundnessError):
        PGD(steps=5, step_size=1.0)(net, ball, y)
    monkeypatch.undo()
    real = search.walk

    def boastful(task: search.Task, points: Tensor, plan: search.Plan, findings: search.Findings) -> None:
        real(task, points, plan, findings)
        findings.broken[:] = True
        findings.margins[:] = -9.0

    monkeypatch.setattr(search, "walk", boastful)
    assert torch.equal(PGD(steps=5)(net, ball, y).success, honest.success) and not honest.success.all()


class Moody(nn.Module):
    """Answers class 1 whenever gradients are asked for, class 0 otherwise: only the search sees a success."""

    def forward(self, points: Tensor) -> Tensor:
        one = torch.full_like(points[:, :1], float(torch.is_grad_enabled()))
        return torch.cat([1 - one, one], 1) + 0 * points[:, :2]


def test_success_is_what_the_network_says_afterwards() -> None:
    found = PGD(steps=3)(Moody(), region("linf", inputs(4, 2, 1), 0.1), torch.zeros(4, dtype=torch.long))
    assert not found.success.any() and torch.equal(found.margins, torch.ones(4).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", REGIONS)
def test_the_tolerance_holds_for_many_coordinates(name: str, dtype: torch.dtype) -> None:
    """Random points thrown far out and projected: at 3072 coordinates they are all inside up to `rounding`."""
    x = inputs(8, 3072, 2, dtype)
    ball = region(name, x, 0.5)
    far = ball.project(x + 10 * (inputs(8, 3072, 3, dtype) - 0.5))
    assert ball.contains(far, rounding(ball)).all()
    assert rounding(ball) < (0.01 if dtype == torch.float32 else 1e-10)
