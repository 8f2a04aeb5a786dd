"""The story in two dimensions: twelve points, a network that is right on all of them, and boxes that tell the difference."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.bounds import lower_bounds, margins
from ballproof.data import Dataset
from ballproof.networks.architectures import build
from ballproof.problems import Linf
from ballproof.train import robust_loss

RADIUS = 0.08


@dataclass
class PlaneNet:
    """A trained network of the plane, with what was watched while it trained."""

    module: nn.Module
    clean: list[float] = field(default_factory=list)
    robust: list[float] = field(default_factory=list)
    uncertified: list[float] = field(default_factory=list)


def train_plane(data: Dataset, robust: bool, steps: int, lr: float, seed: int = 1) -> PlaneNet:
    """The 2-100-2 network on all points at once: by cross-entropy, or by the robust loss at the full radius.

    The radius of the robust loss grows from 0 over the first half: from the start it would be too hard to begin with.
    """
    torch.manual_seed(seed)
    net = PlaneNet(build("two-d", data.shape, data.classes))
    optimizer = torch.optim.Adam(net.module.parameters(), lr)
    for step in range(steps):
        eps = RADIUS * min(1.0, 2 * (step + 1) / steps)
        clean = F.cross_entropy(net.module(data.inputs), data.labels)
        worst = robust_loss(net.module, data.inputs, data.labels, eps, clip=None) if robust else clean
        optimizer.zero_grad()
        worst.backward()
        optimizer.step()
        if step % 10 == 9:
            _watch(net, data, clean.item())
    return net


def _watch(net: PlaneNet, data: Dataset, clean: float) -> None:
    with torch.no_grad():
        worst = robust_loss(net.module, data.inputs, data.labels, RADIUS, clip=None)
        proven = margins(net.module, Linf(data.inputs, RADIUS), data.labels, "dual")
    net.clean.append(clean)
    net.robust.append(float(worst))
    net.uncertified.append(float((proven <= 0).any(1).float().mean()))


def certified(module: nn.Module, data: Dataset, method: str) -> Tensor:
    """Which points are proven safe in their whole box, `(n,)` bool."""
    with torch.no_grad():
        return (margins(module, Linf(data.inputs, RADIUS), data.labels, method) > 0).all(1)


def decision(module: nn.Module, cells: int = 160) -> tuple[Tensor, Tensor]:
    """The plane's axis `(cells,)` and the difference of the two logits on the grid `(cells, cells)`, rows along y."""
    axis = torch.linspace(-0.1, 1.1, cells)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    with torch.no_grad():
        outputs = module(grid)
    return axis, (outputs[:, 1] - outputs[:, 0]).reshape(cells, cells)


def images(module: nn.Module, center: Tensor, radius: float, count: int = 4000) -> Tensor:
    """The network's outputs on a grid over the box round `center (2,)`: what the adversary can really reach."""
    side = int(count**0.5)
    axis = torch.linspace(-radius, radius, side)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2) + center
    with torch.no_grad():
        found: Tensor = module(grid)
    return found


def outer_polygon(module: nn.Module, center: Tensor, radius: float, method: str, directions: int = 48) -> Tensor:
    """Corners, counter-clockwise, of a polygon that provably encloses every output on the box: `(corners, 2)`.

    One proven bound for each direction of the plane gives a half-plane; the polygon is their intersection.
    """
    angle = torch.arange(directions, dtype=torch.float64) * (2 * torch.pi / directions)
    normals = torch.stack([angle.cos(), angle.sin()], 1)
    with torch.no_grad():
        rows = normals.to(center.dtype).unsqueeze(0)
        support = lower_bounds(module, Linf(center.unsqueeze(0), radius), rows, method)[0].double()
    far = 4 * float(support.abs().max()) + 1
    polygon = torch.tensor([[-far, -far], [far, -far], [far, far], [-far, far]], dtype=torch.float64)
    for normal, end in zip(normals, support, strict=True):
        polygon = _cut(polygon, normal, end)
    return polygon


def _cut(polygon: Tensor, normal: Tensor, end: Tensor) -> Tensor:
    """The part of a convex polygon where normal · z >= end."""
    corners = []
    for here, there in zip(polygon, polygon.roll(-1, 0), strict=True):
        a, b = normal @ here - end, normal @ there - end
        if a >= 0:
            corners.append(here)
        if (a >= 0) != (b >= 0):
            corners.append(here + a / (a - b) * (there - here))
    return torch.stack(corners)
