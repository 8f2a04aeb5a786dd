"""The nearest point that an attack breaks: a bisection over the radius, all examples at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, evaluating
from ballproof.attacks.goal import Goal, goal_of
from ballproof.attacks.recheck import recheck
from ballproof.attacks.space import rounding
from ballproof.errors import InputError
from ballproof.problems import ball
from ballproof.problems.region import across

if TYPE_CHECKING:
    from ballproof.attacks.registry import Attack

Clip = tuple[float, float] | None

PULLS = 12
"""Halvings of the segment from a broken point to the center: 1/4096 of its length is left open."""


class Nearest(NamedTuple):
    """distance `(batch,)`: of the nearest broken point met, 0 where the center is broken, infinite where none was met.

    points `(batch, *input)`: that point, or the center. A distance is an upper bound of the true one, never a proof that
    nothing is nearer.
    """

    distance: Tensor
    points: Tensor


def nearest(
    network: Network, x: Tensor, y: Tensor, attack: Attack, norm: str, clip: Clip, largest: float, halvings: int = 12
) -> Nearest:
    """The nearest broken point that `attack` finds in balls of radius at most `largest`, in the units of x (L0: pixels).

    Each of `halvings` rounds attacks every example once, at the middle between its nearest broken point and the largest radius
    at which the attack failed; a point that is found is first pulled towards the center as far as it stays broken (in L0 its
    pixels go back one by one where it stays broken). Every point is asked of the network again, inside the ball of the distance
    that is told. Price: `halvings + 1` attacks; in L0 an example is done where the attack failed with one pixel less.
    """
    if not 0 < largest < float("inf"):
        raise InputError(f"`largest` is {largest}, expected a finite radius above 0, in the units of the input")
    whole = ball(norm, x, largest, clip)
    goal, center = goal_of(y, whole, "margin"), whole.center
    broken = recheck(network, whole, goal, center, len(x) or 1).success
    points, low = center.clone(), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    distance = torch.where(broken, 0.0, torch.inf).double()
    for turn in range(halvings + 1):
        at = (distance > (low.floor() + 1 if norm == "l0" else 0)).nonzero().squeeze(1)
        if not len(at):
            break
        eps = ((low + distance.clamp(max=largest)) / 2 if turn else torch.full_like(low, largest))[at]
        found = attack(network, ball(norm, center[at], eps.to(x.dtype), whole.clip), y[at])
        closer = (thinned if norm == "l0" else pulled)(network, goal[at], center[at], found.inputs)
        reached = torch.where(found.success, measured(norm, closer - center[at]), torch.inf)
        better = reached < distance[at]
        points[at[better]], distance[at[better]] = closer[better], reached[better]
        low[at] = torch.where(found.success, low[at], eps).minimum(distance[at])
    region = ball(norm, center, distance.clamp(max=largest).to(x.dtype) * (1 + 1e-6) + rounding(whole), whole.clip)
    again = recheck(network, region, goal, points, len(x) or 1)
    return Nearest(torch.where(again.success, distance, torch.inf), points)


def pulled(network: Network, goal: Goal, center: Tensor, points: Tensor) -> Tensor:
    """The points moved along the segment towards the center as far as bisection sees them broken there."""
    near, far = torch.zeros(len(points), device=points.device), torch.ones(len(points), device=points.device)
    with torch.no_grad(), evaluating(network):
        for _ in range(PULLS if len(points) else 0):
            middle = (near + far) / 2
            broken = goal.broken(ask(network, _between(center, points, middle)))
            near, far = torch.where(broken, near, middle), torch.where(broken, middle, far)
    return _between(center, points, far)


def thinned(network: Network, goal: Goal, center: Tensor, points: Tensor) -> Tensor:
    """The points without those moved pixels that are not needed: each goes back, first those that moved least, if it can."""
    moved = _pixels((points - center).abs()).amax(1)
    order = moved.masked_fill(moved == 0, torch.inf).argsort(1)
    with torch.no_grad(), evaluating(network):
        for rank in range(int((moved > 0).sum(1).max()) if len(points) else 0):
            back = torch.zeros_like(moved, dtype=torch.bool).scatter_(1, order[:, rank : rank + 1], True)
            tried = torch.where(back.unsqueeze(1), _pixels(center), _pixels(points)).reshape(points.shape)
            points = torch.where(across(goal.broken(ask(network, tried)), points), tried, points)
    return points


def _pixels(points: Tensor) -> Tensor:
    """`(batch, channels, pixels)`; every coordinate of an input with one axis is a pixel."""
    return points.flatten(2) if points.ndim > 2 else points.unsqueeze(1)


def _between(center: Tensor, points: Tensor, share: Tensor) -> Tensor:
    return torch.where(across(share < 1, points), center + across(share.to(points), points) * (points - center), points)


def measured(norm: str, moves: Tensor) -> Tensor:
    """The length of `moves (batch, *input)` in the ball's norm, in float64, `(batch,)`."""
    if norm == "l0":
        return (_pixels(moves) != 0).any(1).sum(1).double()
    flat = moves.double().flatten(1)
    order = {"linf": torch.inf, "l2": 2.0, "l1": 1.0}[norm]
    length: Tensor = torch.linalg.vector_norm(flat, ord=order, dim=1)
    return length
