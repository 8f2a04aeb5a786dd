"""On nets of the plane the true minimum is found by enumeration: attacks come near it and never pass it."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from small_nets import inputs, label_margins, plane_net, region
from torch import Tensor, nn

from ballproof.attacks import PGD
from ballproof.problems import Property, Region


def corners(net: nn.Sequential, lower: Tensor, upper: Tensor) -> Tensor:
    """Every crossing, inside the box, of two among the lines where a ReLU bends and the box's sides.

    The net is affine on each piece that these lines cut the box into, so that the smallest of some affine functions is
    least at a corner of a piece.
    """
    first = net[0]
    normals = torch.cat([first.weight.detach(), torch.eye(2).to(lower).repeat(2, 1)])
    offsets = torch.cat([-first.bias.detach(), lower, upper])
    pairs = [list(p) for p in combinations(range(len(normals)), 2) if abs(torch.linalg.det(normals[list(p)])) > 1e-12]
    points = torch.stack([torch.linalg.solve(normals[p], offsets[p]) for p in pairs])
    inside = ((points >= lower - 1e-12) & (points <= upper + 1e-12)).all(1)
    return points[inside]


def label_margin(outputs: Tensor, label: int) -> Tensor:
    return label_margins(outputs, torch.full(outputs.shape[:1], label))


def spread(net: nn.Sequential, x: Tensor) -> float:
    """The unit in which `near` is meant: how far apart the outputs lie."""
    return float(net(x).detach().std())


@pytest.mark.parametrize("name", ["linf", "linf-clip", "box"])
@pytest.mark.parametrize("seed", [0, 10])
def test_boxes_against_every_corner(name: str, seed: int) -> None:
    net, x = plane_net(seed), inputs(8, 2, seed)
    y, ball = net(x).argmax(1), region(name, x, 0.25)
    box = ball.box()
    exact = torch.stack(
        [label_margin(net(corners(net, box.lower[i], box.upper[i])).detach(), int(y[i])).min() for i in range(8)]
    )
    found = PGD(steps=50, restarts=30, early_stop=False)(net, ball, y)
    assert (found.margins >= exact - 1e-9).all()
    assert torch.allclose(found.margins, exact, rtol=0, atol=0.02 * spread(net, x))
    settled = exact.abs() > 0.05
    stopped = PGD(steps=50, restarts=30)(net, ball, y)
    assert torch.equal(stopped.success[settled], exact[settled] < 0)


def on_grid(ball: Region, count: int = 241) -> tuple[Tensor, float]:
    """Grid points of the region's box that lie in the region (one example), and the grid's spacing."""
    box = ball.box()
    share = torch.linspace(0, 1, count, dtype=box.lower.dtype)
    axes = [box.lower[0, i] + share * box.width[0, i] for i in (0, 1)]
    grid = torch.cartesian_prod(*axes)
    each = ball[torch.zeros(len(grid), dtype=torch.long)]
    return grid[each.contains(grid, 1e-9)], float((box.upper - box.lower).max()) / (count - 1)


@pytest.mark.parametrize(("name", "near"), [("l2", 0.02), ("l2-clip", 0.02), ("l1", 0.1), ("l1-clip", 0.1)])
def test_round_and_pointed_balls_against_a_grid(name: str, near: float) -> None:
    """L1 is allowed to be coarser: its steps move one coordinate at a time."""
    net, x = plane_net(20), inputs(4, 2, 20)
    y = net(x).argmax(1)
    steepest = 2 * float(
        torch.linalg.matrix_norm(net[0].weight.detach(), 2) * torch.linalg.matrix_norm(net[2].weight.detach(), 2)
    )
    whole = region(name, x, 0.3)
    found = PGD(steps=50, restarts=8, early_stop=False)(net, whole, y).margins
    for i in range(4):
        points, spacing = on_grid(whole[torch.tensor([i])])
        grid = float(label_margin(net(points).detach(), int(y[i])).min())
        assert grid - steepest * 2 * spacing <= float(found[i]) <= grid + near * spread(net, x)


def test_a_property_with_two_groups_against_every_corner() -> None:
    """Violated where (y0 <= y1 and y0 <= y2) or y2 >= y1 + 1: an OR of ANDs."""
    net, x = plane_net(30), inputs(8, 2, 31)
    coefficients = torch.tensor([[1.0, -1, 0], [1, 0, -1], [0, 1, -1]], dtype=x.dtype)
    offsets = torch.tensor([0.0, 0.0, 1.0], dtype=x.dtype)
    asked = Property(coefficients[None].expand(8, -1, -1), offsets[None].expand(8, -1), (0, 0, 1))
    ball = region("linf", x, 0.05)
    found = PGD(steps=50, restarts=10, early_stop=False)(net, ball, asked)
    y = net(found.inputs)
    values = y @ coefficients.T + offsets
    assert torch.allclose(found.margins, torch.minimum(values[:, :2].amax(1), values[:, 2]))
    assert torch.equal(found.success, ((y[:, 0] <= y[:, 1]) & (y[:, 0] <= y[:, 2])) | (y[:, 2] >= y[:, 1] + 1))
    assert found.success.any() and not found.success.all()
    for i in range(8):
        points, _ = on_grid(ball[torch.tensor([i])])
        at = net(points).detach() @ coefficients.T + offsets
        grid = float(torch.minimum(at[:, :2].amax(1), at[:, 2]).min())
        assert float(found.margins[i]) <= grid + 0.01
