"""Attacks on balls of L0: a linear network's worst pixels in closed form, their number, and manners of the searches."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from small_nets import inputs, label_margins, linear, plane_net
from torch import Tensor, nn

from ballproof.attacks import APGD, PGD, Auto, Saliency, SparseRS, Square, recheck, run_attack
from ballproof.attacks.goal import goal_of
from ballproof.attacks.nearest import nearest, thinned
from ballproof.attacks.sparse_rs import part, swapped
from ballproof.errors import InputError
from ballproof.problems import L0, ball, classified_as

PIXELS = 6


def example() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network of two classes on images of 2 x 3 pixels of 2 channels, and labels that it gives."""
    net, x = nn.Sequential(nn.Flatten(), linear(12, 2, seed=5)), inputs(10, 12, 6).reshape(10, 2, 2, 3)
    net[1].bias.data[0] += 5 - (net(x)[:, 0] - net(x)[:, 1]).mean().detach()
    return net, x, net(x).argmax(1)


def falls(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """By how much each pixel can lower the margin, `(batch, pixels)`, largest first: each channel goes to its better end."""
    c = (net[1].weight[y] - net[1].weight[1 - y]).detach().reshape(x.shape)
    return torch.maximum(c * x, c * (x - 1)).flatten(2).sum(1).sort(1, descending=True).values


@pytest.mark.parametrize("count", [1, 2, 4, 6, 9])
def test_the_worst_pixels_of_a_linear_network(count: int) -> None:
    net, x, y = example()
    exact = label_margins(net(x), y).detach() - falls(net, x, y)[:, :count].sum(1)
    region = L0(x, count, (0, 1))
    greedy = Saliency(candidates=1)(net, region, y)
    assert torch.equal(greedy.success, exact <= 0) and region.contains(greedy.inputs).all()
    still = ~greedy.success  # those are walked to the last pixel
    assert torch.allclose(greedy.margins[still], exact[still])
    for found in (Saliency(candidates=6)(net, region, y), SparseRS(600)(net, region, y), Auto(queries=300)(net, region, y)):
        assert torch.equal(found.success, exact <= 0) and (found.margins >= exact - 1e-9).all()
    for walk in (PGD(restarts=3), APGD(loss="margin")):
        found = walk(net, region, y)
        assert (
            region.contains(found.inputs).all() and (found.margins >= exact - 1e-9).all() and not (found.success & still).any()
        )


@pytest.mark.parametrize("attack", [Saliency(), Auto(queries=50)], ids=repr)
def test_the_number_of_pixels_to_the_border_of_a_linear_network(attack: Any) -> None:
    net, x, y = example()
    y[0] = 1 - y[0]
    down = label_margins(net(x), y)[:, None].detach() - falls(net, x, y).cumsum(1)
    exact = torch.where((down <= 0).any(1), (down <= 0).double().argmax(1) + 1.0, torch.inf).double()
    exact[0] = 0
    found = nearest(net, x, y, attack, "l0", (0.0, 1.0), PIXELS)
    assert torch.equal(found.distance, exact) and len(exact.unique()) > 2
    assert torch.equal(
        ((found.points - x) != 0).any(1).flatten(1).sum(1).double()[torch.isfinite(exact)], exact[torch.isfinite(exact)]
    )


def test_the_bisection_ends_only_where_one_pixel_less_was_tried() -> None:
    """Three sets of pixels break the network, none inside another; the attack moves the largest that it may."""
    sets = torch.zeros(3, 9)
    sets[0, :8], sets[1, :6], sets[2, 4:] = 1, 1, 1  # of 8, 6 and 5 pixels

    def net(points: Tensor) -> Tensor:
        broken = (points[:, None] == sets).all(2).any(1).double()
        return torch.stack([1 - broken, broken], 1)

    def attack(network: Any, region: Any, target: Tensor) -> Any:
        fits = [chosen for chosen in sets if chosen.sum() <= region.reach]
        return recheck(network, region, goal_of(target, region, "margin"), (fits or [0 * sets[0]])[0][None], 1)

    found = nearest(net, torch.zeros(1, 9), torch.tensor([0]), attack, "l0", (0.0, 1.0), 9)
    assert found.distance.tolist() == [5] and torch.equal(found.points[0], sets[2])


def test_pixels_that_are_not_needed_go_back() -> None:
    """Broken where the first two pixels are both above 0.5; four are moved."""

    def net(points: Tensor) -> Tensor:
        both = torch.minimum(points[:, 0], points[:, 1]) - 0.5
        return torch.stack([-both, both], 1)

    center, points = torch.zeros(2, 5), torch.tensor([[0.9, 0.8, 0.7, 0.0, 0.2], [0.9, 0.0, 0.8, 0.0, 0.0]])
    found = thinned(net, goal_of(torch.tensor([0, 1]), ball("l0", center, 4, (0, 1)), "margin"), center, points)
    assert torch.equal(found[0], torch.tensor([0.9, 0.8, 0.0, 0.0, 0.0])) and not bool(found[1].any())


@pytest.mark.parametrize("attack", [Saliency(candidates=3, targets=2), SparseRS(200), PGD(steps=10)], ids=repr)
def test_results_are_inside_and_say_what_the_network_says(attack: Any) -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Flatten(), nn.Linear(27, 20), nn.ReLU(), nn.Linear(20, 4)).double()
    x = inputs(12, 27, 3).reshape(12, 3, 3, 3)
    y, region = net(x).argmax(1), ball("l0", x, torch.arange(12).double() / 3, (0, 1))
    y[4] = (y[4] + 1) % 4
    found = attack(net, region, y)
    moved = (found.inputs != x).any(1).flatten(1).sum(1)
    assert (moved <= torch.arange(12) // 3).all() and ((found.inputs >= 0) & (found.inputs <= 1)).all()
    assert torch.equal(found.success, net(found.inputs).argmax(1) != y) and torch.equal(found.inputs[4], x[4])
    assert torch.equal(found.inputs[:3], x[:3]) and found.success[5:].any() and not found.success.all()
    again, alone = attack(net, region, y), attack(net, region[[11]], y[[11]])
    assert torch.equal(again.inputs, found.inputs) and (
        isinstance(attack, Saliency) <= torch.equal(alone.inputs[0], found.inputs[11])
    )


@pytest.mark.parametrize("kind", [SparseRS, Saliency])
def test_the_size_of_the_chunks_changes_nothing(kind: Any) -> None:
    net, x, y = example()
    whole, parts = (kind(batch_size=size)(net, L0(x, 2, (0, 1)), y) for size in (100, 3))
    assert torch.allclose(whole.inputs, parts.inputs) and torch.equal(whole.success, parts.success)


def test_a_swap_keeps_the_number_of_pixels_and_moves_no_other() -> None:
    _, x, _ = example()
    region, generator = L0(x, 3, (0, 1)), torch.Generator().manual_seed(1)
    none = torch.zeros(10, PIXELS, dtype=torch.bool)
    draws = [
        (torch.rand(10, PIXELS, generator=generator), torch.rand(10, PIXELS, generator=generator), 0 * x + k) for k in (0, 1)
    ]
    moved, points = swapped(region, none, x, torch.full((10,), 3.0), draws[0])
    assert (moved.sum(1) == 3).all() and torch.equal(points, torch.where(moved.reshape(10, 1, 2, 3), 0.0, x))
    later, fresh = swapped(region, moved, points, torch.full((10,), 1.0), draws[1])
    assert (later.sum(1) == 3).all() and ((later & moved).sum(1) >= 2).all() and ((later & moved).sum(1) == 2).any()
    assert region.contains(fresh).all() and ((fresh != points).any(1).flatten(1).sum(1) <= 2).all()
    assert ((fresh == 1).all(1).flatten(1).sum(1) == 1).all()


def test_the_schedule_of_the_share_is_the_papers() -> None:
    settings = SparseRS(queries=10_000, share=0.6)
    told = {q: round(0.6 / part(q, settings)) for q in (0, 1, 50, 51, 200, 201, 501, 1001, 2001, 4001, 6001, 8001, 9999)}
    assert told == {0: 1, 1: 2, 50: 2, 51: 4, 200: 4, 201: 5, 501: 6, 1001: 8, 2001: 10, 4001: 12, 6001: 15, 8001: 20, 9999: 20}


def test_what_a_pair_of_pixels_breaks_and_no_gradient_shows_is_found_by_the_random_search() -> None:
    """Gradients are zero everywhere; two pixels, any of channel or sign, must both be bright."""

    def net(points: Tensor) -> Tensor:
        lit = (points.flatten(1) > 0.9).sum(1)
        return torch.stack([1.5 - lit, lit - 1.5], 1).double()

    x, y = torch.full((4, 1, 3, 3), 0.5), torch.zeros(4, dtype=torch.long)
    assert not SparseRS(300)(net, L0(x, 1, (0, 1)), y).success.any()
    assert SparseRS(300)(net, L0(x, 2, (0, 1)), y).success.all()


@pytest.mark.parametrize("attack", [Saliency(), SparseRS(50)], ids=repr)
def test_other_balls_are_refused(attack: Any) -> None:
    net, x, y = example()
    with pytest.raises(InputError, match="attacks L0 balls, this region is a linf"):
        attack(net, ball("linf", x, 0.1), y)
    with pytest.raises(InputError, match="`square` attacks boxes and balls of linf, l2 and l1, this region is a l0"):
        Square()(net, L0(x, 1, (0, 1)), y)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "sparse-rs", "share": 1.5}, "`share` is 1.5"),
        ({"method": "sparse-rs", "queries": 0}, "`queries`.*got 0"),
        ({"method": "saliency", "candidates": 0}, "`candidates`.*got 0"),
        ({"method": "saliency", "clip": None}, "an L0 ball needs `clip`"),
    ],
)
def test_bad_arguments_are_named(given: dict[str, Any], told: str) -> None:
    net, x, y = example()
    with pytest.raises(InputError, match=told):
        run_attack(net, x, y, 2, "l0", **given)


def test_a_property_of_pixels() -> None:
    net, x = plane_net(1), inputs(8, 2, 2)
    y = net(x).argmax(1)
    asked = classified_as(y).property(3)
    one, two = (Saliency(targets=0)(net, L0(x, 1, (0, 1)), t) for t in (y, asked))
    assert torch.equal(one.success, two.success) and one.success.any()
    with pytest.raises(InputError, match="`targets` = 3 needs labels"):
        Saliency()(net, L0(x, 1, (0, 1)), asked)


def test_a_greedy_choice_among_pairs_is_never_beaten_by_all_sets_on_a_linear_network() -> None:
    net, x, y = example()
    region = L0(x, 2, (0, 1))
    sets = torch.zeros(15, PIXELS, dtype=torch.bool)
    for row, pair in enumerate(combinations(range(PIXELS), 2)):
        sets[row, list(pair)] = True
    c = (net[1].weight[y] - net[1].weight[1 - y]).detach().reshape(x.shape)
    worst = torch.where(c > 0, 0.0, 1.0)
    tried = torch.where(sets.reshape(15, 1, 1, 2, 3), worst, x)
    least = torch.stack([label_margins(net(t), y) for t in tried]).amin(0)
    assert torch.equal(Saliency()(net, region, y).success, least <= 0)
