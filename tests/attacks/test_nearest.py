"""The nearest broken point: of a linear network in closed form, and never beyond what is asked."""

from __future__ import annotations

import pytest
import torch
from small_nets import inputs, linear, plane_net
from torch import Tensor

from ballproof.attacks import APGD, PGD
from ballproof.attacks.nearest import measured, nearest
from ballproof.errors import InputError

DUAL = {"linf": 1.0, "l2": 2.0, "l1": float("inf")}


@pytest.mark.parametrize("attack", [PGD(), APGD(steps=40)], ids=repr)
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_linear_network_without_a_range_in_closed_form(norm: str, attack: PGD) -> None:
    """The distance to the plane w·x + b = 0 is |w·x + b| over the dual norm of w."""
    net, x = linear(6, 2, seed=3), inputs(8, 6, seed=4)
    y = net(x).argmax(1)
    y[0] = 1 - y[0]
    w = (net.weight[0] - net.weight[1]).detach()
    exact = (net(x)[:, 0] - net(x)[:, 1]).detach().abs() / torch.linalg.vector_norm(w, ord=DUAL[norm])
    exact[0] = 0
    found = nearest(net, x, y, attack, norm, None, 10.0)
    assert torch.allclose(found.distance, exact, rtol=2e-3 if isinstance(attack, APGD) else 0.05, atol=0), (
        found.distance / exact
    )
    assert (found.distance >= exact - 1e-9).all()
    assert torch.allclose(measured(norm, found.points - x), found.distance) and (net(found.points).argmax(1) != y).all()


def test_what_is_farther_than_the_largest_radius_is_not_told() -> None:
    net, x = linear(6, 2, seed=3), inputs(8, 6, seed=4)
    y = net(x).argmax(1)
    whole = nearest(net, x, y, PGD(), "l2", None, 10.0).distance
    middle = float(whole.median())
    part = nearest(net, x, y, PGD(), "l2", None, middle + 1e-3).distance
    assert torch.equal(torch.isfinite(part), whole <= middle + 1e-3) and not torch.isfinite(part).all()


def test_examples_do_not_touch_each_other() -> None:
    net, x = plane_net(5), inputs(5, 2, 6)
    y = net(x).argmax(1)
    walk = PGD(steps=10, random_start=False)
    together = nearest(net, x, y, walk, "linf", (0.0, 1.0), 0.5, 5).distance
    alone = torch.cat([nearest(net, x[[i]], y[[i]], walk, "linf", (0.0, 1.0), 0.5, 5).distance for i in range(5)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-9)


def test_an_attack_that_lies_finds_nothing_nearer() -> None:
    """A network that breaks nowhere, and one whose every point is broken."""

    def never(points: Tensor) -> Tensor:
        return torch.stack([1 + 0 * points[:, 0], 0 * points[:, 0]], 1)

    x, y = inputs(3, 2, 1), torch.zeros(3, dtype=torch.long)
    assert torch.isinf(nearest(never, x, y, PGD(steps=2), "linf", None, 1.0).distance).all()
    assert torch.equal(nearest(never, x, y + 1, PGD(steps=2), "linf", None, 1.0).distance, torch.zeros(3).double())
    with pytest.raises(InputError, match="`largest` is 0"):
        nearest(never, x, y, PGD(), "linf", None, 0)
