"""`L1`: the sum of all moves is at most eps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ballproof.problems.cutball import CutBall


@dataclass(frozen=True, eq=False, repr=False)
class L1(CutBall):
    """All x of the valid range whose coordinates differ from the center's by eps in sum.

    Cut with the range, the support function is a fractional knapsack: spend eps on the coordinates with the largest
    |c_i|, each up to its room. Its multiplier is the price |c_k| of the coordinate k in which eps runs out.
    """

    norm: ClassVar[str] = "l1"

    def free_gain(self, cotangent: Tensor) -> Tensor:
        return cotangent.flatten(2).abs().amax(2) * self.reach.flatten(1)

    def spend(self, size: Tensor, room: Tensor) -> tuple[Tensor, Tensor]:
        ordered, order = size.sort(2, descending=True)
        rooms = room.gather(2, order)
        taken = torch.minimum(rooms, (self.reach.reshape(-1, 1, 1) - (rooms.cumsum(2) - rooms)).clamp(min=0))
        short = taken < rooms
        price = ordered.gather(2, short.to(torch.int8).argmax(2, keepdim=True))
        price = torch.where(short.any(2, keepdim=True), price, torch.zeros_like(price))
        taken = torch.where(ordered > price, rooms, torch.where(ordered < price, torch.zeros_like(taken), taken))
        return torch.zeros_like(taken).scatter(2, order, taken), price

    def lagrangian(self, size: Tensor, moves: Tensor, multiplier: Tensor) -> Tensor:
        return (moves * (size - multiplier)).sum(2) + multiplier.squeeze(2) * self.reach.flatten(1)

    def length(self, moves: Tensor) -> Tensor:
        return moves.abs().sum(-1)

    def nearest(self, distance: Tensor, room: Tensor) -> Tensor:
        """min(max(distance - s, 0), room) for the threshold s >= 0 at which the moves sum to eps.

        The sum is piecewise linear in s: going down, a coordinate starts to move at its distance and stops at its
        distance - room. Sorted, the number that move and the sum at each of these points are running sums.
        """
        points = torch.cat([distance, (distance - room).clamp(min=0)], 2)
        change = torch.cat([torch.ones_like(distance), -torch.ones_like(distance)], 2)
        point, order = points.sort(stable=True, dim=2, descending=True)
        moving = change.gather(2, order).cumsum(2)
        gap = point[..., :-1] - point[..., 1:]
        total = (moving[..., :-1] * gap).cumsum(2)
        eps = self.reach.reshape(-1, 1, 1)
        reached = total >= eps
        at = reached.to(torch.int8).argmax(2, keepdim=True)
        excess = (total.gather(2, at) - eps).clamp(min=0) / moving.gather(2, at).clamp(min=1)
        threshold = torch.where(reached.any(2, keepdim=True), point.gather(2, at + 1) + excess, 0.0)
        return (distance - threshold).clamp(min=0).minimum(room)

    def direction(self, normal: Tensor, power: Tensor) -> Tensor:
        size = normal.abs() / normal.abs().amax(1, keepdim=True)
        moves = normal.sign() * size**power
        return moves / self.length(moves).unsqueeze(1)

    def step(self, gradient: Tensor) -> Tensor:
        """All on the coordinate with the largest gradient."""
        flat = gradient.flatten(1)
        at = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter(1, at, flat.gather(1, at).sign()).reshape(gradient.shape)
