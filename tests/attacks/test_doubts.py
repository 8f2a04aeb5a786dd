"""Each check is silent on an honest network and fires on one that is built for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_nets import inputs, plane_net
from torch import Tensor

from ballproof.attacks import PGD
from ballproof.attacks.doubts import Check, checks, random_search
from ballproof.errors import InputError
from ballproof.problems import ball

NET, X = plane_net(1), inputs(30, 2, 2)
Y = NET(X).argmax(1)


def asked(net: Callable[[Tensor], Tensor], loss: str = "margin", eps: float = 0.08) -> dict[str, Check]:
    return {check.name: check for check in checks(net, X, Y, eps, loss=loss)}


def quantised(points: Tensor) -> Tensor:
    """Rounded to steps of 0.02: no gradient anywhere."""
    return NET((points / 0.02).round() * 0.02)


def loud(points: Tensor) -> Tensor:
    """Logits so large that the softmax is exactly 0 or 1."""
    return 1e6 * NET(points)


def walled(points: Tensor) -> Tensor:
    """Certain of the label, but in a thin shell 0.03 to 0.045 from each example (all are asked at once)."""
    away = (points - X).abs().amax(1, keepdim=True) if len(points) == len(X) else 0 * points[:, :1]
    label = torch.nn.functional.one_hot(Y, 3).to(points)[: len(points)]
    return torch.where((away > 0.03) & (away < 0.045), 0 * label, label)


def needles(points: Tensor) -> Tensor:
    """Broken in one of ten small cells, wherever one looks, with nothing that leads there: each new start has a new chance."""
    cells = (points * 1000).floor().sum(1) % 10 == 0
    label = torch.nn.functional.one_hot(NET(points).argmax(1), 3).to(points)
    return torch.where(cells[:, None], label.roll(1, 1), label)


def test_an_honest_network_is_not_suspected() -> None:
    found = asked(NET)
    assert list(found) == ["eps", "steps", "restarts", "black-box", "gradients", "saturation"]
    assert not any(check.suspicious for check in found.values()), [str(c) for c in found.values()]
    assert str(found["gradients"]).startswith("ok         gradients: share without a gradient 0,")
    assert found["eps"].figures["broken in the whole range"] == 1


def test_rounded_inputs_are_seen() -> None:
    found = asked(quantised)
    assert found["gradients"].suspicious and found["gradients"].figures["share without a gradient"] == 1
    assert found["steps"].suspicious and found["black-box"].suspicious and not found["saturation"].suspicious
    assert str(found["gradients"]).startswith("suspicious gradients:")


def test_huge_logits_are_seen() -> None:
    found = asked(loud, "cross-entropy")
    assert found["saturation"].suspicious and found["gradients"].suspicious and found["steps"].suspicious
    assert not asked(loud)["gradients"].suspicious


def test_a_ball_in_which_more_room_breaks_less_is_seen() -> None:
    found = asked(walled, eps=0.04)
    assert found["eps"].suspicious, str(found["eps"])


def test_walks_that_need_many_restarts_are_seen() -> None:
    assert asked(needles, eps=0.01)["restarts"].suspicious


def test_the_search_without_gradients_finds_what_is_common_and_claims_nothing_else() -> None:
    region = ball("linf", X, 0.08, (0.0, 1.0))
    found = random_search(NET, region, Y, 100)
    white = PGD(restarts=5)(NET, region, Y).success
    assert found.any() and not found.all() and not (found & ~white).any()


def test_pixels_are_not_asked_about() -> None:
    with pytest.raises(InputError, match="PGD, which is weak in l0"):
        checks(NET, X, Y, 1, "l0")


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_every_norm_and_an_empty_question(norm: str) -> None:
    assert len(checks(NET, X[:4], Y[:4], 0.05, norm, queries=10)) == 6
    assert checks(NET, X[:4], (Y[:4] + 1) % 3, 0.05, norm, queries=10) == []
