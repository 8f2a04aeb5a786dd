"""Attacks of other libraries on boxes and with targets: against linear programs, grids, and points of the boxes themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from small_nets import inputs, label_margins, linear, plane_net, region
from torch import Tensor, nn

from ballproof.attacks import APGD, CW, DDN, FAB, Auto, Foreign, Square, Towards
from ballproof.attacks.borrowed import Duel
from ballproof.attacks.frames import FINEST, boxed, fits, frame_of
from ballproof.errors import InputError
from ballproof.problems import L0, L2, Box, Linf, Region, classified_as
from ballproof.values import Interval

ALL = [FAB(steps=40), Square(queries=400), Auto(steps=30, queries=100), CW(80, searches=5, step_size=0.1), DDN(steps=60)]
EXACT = 1e-6


def cut_boxes(batch: int, count: int, seed: int) -> Box:
    """Boxes that are wider in some coordinates, reach further up than down, and are cut with [0, 1]."""
    x, wide = inputs(batch, count, seed), 0.05 + 0.2 * inputs(1, count, seed + 1)
    return Box((x - wide).clamp(0, 1), (x + 1.5 * wide).clamp(0, 1))


def odd_boxes(batch: int, count: int, seed: int) -> Box:
    """Boxes that have nothing in common; a coordinate is fixed."""
    x = inputs(batch, count, seed)
    lower, upper = x - 0.2 * inputs(batch, count, seed + 1), x + 0.3 * inputs(batch, count, seed + 2)
    lower[:, 0] = upper[:, 0] = x[:, 0]
    return Box(lower, upper)


def least_margins(net: nn.Linear, box: Interval, classes: Tensor, reach: bool) -> Tensor:
    """Of a linear network the exact least margin in each box, by linear programs."""
    w, b = net.weight.detach().numpy(), net.bias.detach().numpy()
    found = []
    for low, high, k in zip(box.lower.numpy(), box.upper.numpy(), classes.tolist(), strict=True):
        ends, others = [*zip(low, high, strict=True)], [j for j in range(len(b)) if j != k]
        if reach:
            rows = np.column_stack([w[others] - w[k], -np.ones(len(others))])
            found.append(linprog([0] * len(low) + [1], rows, b[k] - b[others], bounds=[*ends, (None, None)]).fun)
        else:
            found.append(min(linprog(w[k] - w[j], bounds=ends).fun + b[k] - b[j] for j in others))
    return torch.tensor(found)


@pytest.mark.parametrize("reach", [False, True])
@pytest.mark.parametrize("boxes", [cut_boxes, odd_boxes])
@pytest.mark.parametrize("method", ALL, ids=repr)
def test_boxes_and_targets_of_linear_networks_against_linear_programs(method: Any, boxes: Any, reach: bool) -> None:
    net, box = linear(5, 3, seed=3), boxes(14, 5, 4)
    y = net(box.box().center).argmax(1)
    classes = (y + 1) % 3 if reach else y
    exact = least_margins(net, box.box(), classes, reach)
    found = method(net, box, Towards(classes) if reach else y)
    outputs, held = net(found.inputs), box.box()
    said = label_margins(outputs, classes)
    assert ((found.inputs >= held.lower) & (found.inputs <= held.upper)).all()
    assert torch.allclose(found.margins, -said if reach else said) and torch.equal(found.success, found.margins <= 0)
    assert (found.margins >= exact - EXACT).all()
    near = (0.15 if isinstance(method, Square | CW) else 0.02) * exact.abs().max()
    assert (found.success | (exact > -near)).all(), exact[~found.success]
    assert found.success.any() and not found.success.all()


def on_grid(net: nn.Sequential, box: Interval, aim: int) -> bool:
    """Whether a point of a grid in the box reaches the class by a clear lead."""
    share = torch.linspace(0, 1, 101, dtype=torch.float64)
    grid = box.lower + torch.cartesian_prod(share, share) * box.width
    outputs = net(grid).detach()
    return bool((label_margins(outputs, torch.full((len(grid),), aim)) > 0.03).any())


@pytest.mark.parametrize("shape", ["box", "linf-clip", "l2"])
def test_the_ensemble_brings_bent_networks_to_every_class_that_a_grid_shows(shape: str) -> None:
    net, x = plane_net(1), inputs(10, 2, 2)
    ball, method = region(shape, x, 0.12), Auto(steps=30, queries=50)
    for aim in range(3):
        found = method(net, ball, Towards(torch.full((10,), aim)))
        said = net(found.inputs).argmax(1)
        assert torch.equal(found.success, said == aim) and all(
            bool(name) == bool(s) for name, s in zip(found.by, found.success, strict=True)
        )
        inside = [on_grid(net, ball.box()[i], aim) for i in range(10)]
        assert shape == "l2" or (found.success | ~torch.tensor(inside)).all()
        assert found.success.any() and not found.success.all()


@pytest.mark.parametrize("method", [FAB(steps=10), Square(queries=50), DDN(steps=20), CW(20, searches=2)], ids=repr)
def test_a_target_that_no_point_reaches_is_not_reached(method: Any) -> None:
    """The class 2 is nowhere the largest; the other two change places in every ball."""

    def net(points: Tensor) -> Tensor:
        seen = points.sum(1) - 1
        return torch.stack([seen, -seen, seen.abs() - 0.01], 1)

    x = torch.full((4, 2), 0.55, dtype=torch.float64)
    ball = L2(x, 0.3, (0, 1)) if isinstance(method, CW | DDN) else Linf(x, 0.3, (0, 1))
    assert method(net, ball, torch.zeros(4).long()).success.all()
    assert method(net, ball, Towards(torch.ones(4).long())).success.all()
    assert not method(net, ball, Towards(torch.full((4,), 2))).success.any()


def test_each_example_may_have_its_own_target() -> None:
    net, x = plane_net(1), inputs(12, 2, 2)
    aims = torch.arange(12) % 3
    found = FAB(steps=20)(net, region("linf-clip", x, 0.2), Towards(aims))
    assert torch.equal(found.success, net(found.inputs).argmax(1) == aims)
    for aim in range(3):
        only = aims == aim
        alone = FAB(steps=20)(net, region("linf-clip", x[only], 0.2), Towards(aims[only]))
        assert torch.equal(alone.success, found.success[only]) and torch.allclose(alone.inputs, found.inputs[only])


@pytest.mark.parametrize("boxes", [cut_boxes, odd_boxes])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_near_the_start_stands_for_the_box_and_for_all_of_it(boxes: Any, dtype: torch.dtype) -> None:
    whole: Box = boxes(9, 6, 7).to(dtype=dtype)
    parts = [whole] if boxes is cut_boxes else [whole[[i]] for i in range(9)]
    slack = 8 * torch.finfo(dtype).eps
    for part in parts:
        box = part.box()
        assert fits(box)
        frame = frame_of(box)
        assert ((frame.start >= 0) & (frame.start <= 1)).all() and FINEST <= frame.eps <= 0.5
        drawn = frame.start + frame.eps * (2 * torch.rand(200, *frame.start.shape, dtype=dtype) - 1)
        points = torch.stack([frame.back(p) for p in drawn])
        assert ((points >= box.lower - slack) & (points <= box.upper + slack)).all()
        assert torch.allclose(frame.back(frame.start - frame.eps), box.lower, rtol=0, atol=slack)
        assert torch.allclose(frame.back(frame.start + frame.eps), box.upper, rtol=0, atol=slack)


def test_boxes_that_no_one_radius_gives_are_not_put_together() -> None:
    assert not fits(odd_boxes(9, 6, 7).box()) and fits(odd_boxes(1, 6, 7).box())
    fixed = Interval(torch.tensor([[0.1], [0.2]]), torch.tensor([[0.1], [0.2]]))
    narrow = Interval(torch.tensor([[0.0, 0.2], [0.3, 0.2]]), torch.tensor([[0.1, 0.3], [0.35, 0.3]]))
    inner = Interval(torch.tensor([[0.0], [0.2], [0.9]]), torch.tensor([[0.1], [0.25], [1.0]]))
    fine = Interval(torch.tensor([[0.0], [1.0]]), torch.tensor([[1e-5], [1.00001]]))
    assert not fits(fixed) and fits(narrow) and not fits(inner) and not fits(fine)


def test_a_function_gets_a_box_as_a_ball_of_its_own_coordinates() -> None:
    """The function goes to a corner of the ball that it is shown; the box's own corner comes back."""
    net, box = linear(5, 3, seed=3), cut_boxes(7, 5, 4)
    told: list[tuple[int, float]] = []

    def corner(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        told.append((len(x), eps))
        assert x.min() >= 0 and x.max() <= 1 and torch.equal(y, model(x).argmax(1))
        return x + 2 * eps

    y = net(box.box().center).argmax(1)
    found = Foreign(corner)(net, box, y)
    assert [n for n, _ in told] == [7] and torch.allclose(found.inputs[found.success], box.upper[found.success])
    pixels: Region = Linf(box.lower, 0.1 + inputs(1, 5, 9))
    Foreign(lambda m, x, y, eps: x + eps)(net, pixels, net(box.lower).argmax(1))
    assert boxed(pixels) and boxed(box) and not boxed(Linf(box.lower, 0.1)) and not boxed(L2(box.lower, 0.1))


def test_a_duel_asks_the_target_against_the_best_of_the_others() -> None:
    outputs = torch.tensor([[1.0, 3.0, 2.0], [1.0, 0.0, -2.0]])
    model = Duel(nn.Identity(), 1)
    assert torch.equal(model(outputs), torch.tensor([[2.0, 3.0], [1.0, 0.0]]))


def test_what_they_do_not_take_is_named() -> None:
    net, x = plane_net(1), inputs(3, 2, 2)
    y = net(x).argmax(1)
    with pytest.raises(InputError, match="`Property` is attacked by `pgd`"):
        FAB()(net, region("box", x, 0.1), classified_as(y).property(3))
    with pytest.raises(InputError, match="attack a `Property` with `pgd`"):
        Auto()(net, region("box", x, 0.1), classified_as(y).property(3))
    for method in (FAB(), Square(), CW(), DDN()):
        with pytest.raises(InputError, match=r"attacks .*box.*, this region is a l0"):
            method(net, L0(x, 1, (0, 1)), y)
    with pytest.raises(InputError, match="holds 3, the network has the classes 0 to 2"):
        Auto()(net, region("box", x, 0.1), Towards(torch.full((3,), 3)))
    assert APGD()(net, L0(x, 1, (0, 1)), Towards(y)).success.all()
