"""Auto-PGD: its checkpoints, its halving by hand, its losses by hand."""

from __future__ import annotations

import pytest
import torch
from small_nets import inputs, linear, region
from torch import Tensor

from ballproof.attacks import APGD, PGD
from ballproof.attacks.apgd import checkpoints
from ballproof.attacks.goal import Misclassify
from ballproof.errors import InputError
from ballproof.problems import Linf, classified_as


def test_the_checkpoints_of_a_hundred_steps() -> None:
    """p = 0.22, then growing by 0.19, 0.16, 0.13, 0.10, 0.07, 0.06 and 0.06: equation 2 and below of the paper."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == [1] and all(0 < c <= 7 for c in checkpoints(7))


def valley(points: Tensor) -> Tensor:
    """Two outputs whose margin is 1 + |x|: least at 0, and nothing breaks."""
    return torch.cat([1 + points.abs(), 0 * points], 1)


class Started(Linf):
    """The interval [-1, 1], sampled at 0.9."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return torch.full_like(self.center, 0.9)


def test_steps_and_halving_on_a_line_by_hand() -> None:
    """Minimising 1 + |x| on [-1, 1] from 0.9 with 9 steps; checkpoints after 2, 4, 6, 7, 8 and 9 steps.

    Step 1 (size 2): 0.9 - 2 -> -1. Step 2: -1 + 2 -> 1, of which 3/4 from -1 is 0.5, plus 1/4 of -1.9 is 0.025: margin 1.025.
    Checkpoint: 1 of 2 steps got better, below 3/4: size 1, and on from the best point, 0.025, with no former step.
    Step 3: 0.025 - 1 -> -0.975, 3/4 of the way: -0.725. Step 4: -0.725 + 1 = 0.275, 3/4 of 1 more: 0.025, plus 1/4 of -0.75:
    -0.1625. Checkpoint: 1 of 2: size 1/2, back to 0.025. Step 5: 3/4 of -0.5: -0.35.
    """
    seen: list[float] = []

    def watching(points: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            seen.append(float(points.detach()))
        return valley(points)

    ball = Started(torch.tensor([[0.0]], dtype=torch.float64), 1.0)
    APGD(steps=9, loss="margin")(watching, ball, torch.tensor([0]))
    assert checkpoints(9) == [2, 4, 6, 7, 8, 9]
    assert seen[:6] == pytest.approx([0.9, -1.0, 0.025, -0.725, -0.1625, -0.35])


def test_the_losses_by_hand() -> None:
    """Logits 4, 1, 3, -1, label 0: sorted 4, 3, 1, -1."""
    outputs, label = torch.tensor([[4.0, 1.0, 3.0, -1.0]]), torch.tensor([0])
    goal = Misclassify(label, "dlr")
    assert float(goal.descent(outputs)) == pytest.approx((4 - 3) / (4 - 1))
    assert float(goal.headed(torch.tensor([3])).descent(outputs)) == pytest.approx((4 + 1) / (4 - (1 - 1) / 2))
    assert float(goal.descent(1e6 * outputs)) == pytest.approx(float(goal.descent(outputs)))
    assert float(goal.descent(outputs[:, :2])) == 3.0
    towards = Misclassify(label, "cross-entropy").headed(torch.tensor([2]))
    assert float(towards.descent(outputs)) == pytest.approx(float(outputs.logsumexp(1)) - 3)


def test_it_beats_pgd_with_the_same_steps_on_a_curved_loss() -> None:
    """A bowl whose least point lies inside the ball: fixed steps of eps / 2 jump over it, halved ones settle."""

    def bowl(points: Tensor) -> Tensor:
        return torch.stack([0.01 + (points - 0.63).square().sum(1), 0 * points[:, 0]], 1)

    x, y = inputs(6, 8, 3) * 0.2 + 0.5, torch.zeros(6, dtype=torch.long)
    ball = region("linf", x, 0.4)
    fixed = PGD(steps=60, step_size=0.5)(bowl, ball, y).margins
    found = APGD(steps=60, loss="margin")(bowl, ball, y).margins
    assert (found < fixed).all() and torch.allclose(found, torch.full_like(found, 0.01), atol=1e-3)


def test_targets_reach_a_class_that_the_likeliest_one_hides() -> None:
    """Class 1 is the runner-up everywhere but never wins; class 2 wins where x is large: only heading for it finds that."""

    def net(points: Tensor) -> Tensor:
        x = points[:, 0]
        return torch.stack([0 * x + 1, 0.9 - 0.05 * x.clamp(min=-0.5), 6 * x - 4], 1)

    ball, y = Still(torch.zeros(1, 1, dtype=torch.float64), 0.9), torch.tensor([0])
    assert not APGD(steps=30, loss="margin")(net, ball, y).success
    assert APGD(steps=30, loss="margin", targets=2)(net, ball, y).success


class Still(Linf):
    """Sampled at the center."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.center


def test_targets_need_labels_and_a_property_needs_the_margin() -> None:
    net, x = linear(4, 3, 1), inputs(3, 4, 1)
    asked = classified_as(torch.zeros(3, dtype=torch.long)).property(3)
    with pytest.raises(InputError, match="`targets` = 2 needs labels"):
        APGD(loss="margin", targets=2)(net, region("linf", x, 0.1), asked)
    with pytest.raises(InputError, match="'cross-entropy' needs labels"):
        APGD()(net, region("linf", x, 0.1), asked)
    assert len(APGD(loss="margin", steps=3)(net, region("linf", x, 0.1), asked)) == 3
