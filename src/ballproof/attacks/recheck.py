"""The one place where an attack's points become results: membership and outputs are asked again, outside the search."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.attacks.asking import Network, ask, chunks, evaluating
from ballproof.attacks.goal import Goal
from ballproof.attacks.result import AttackResult
from ballproof.attacks.space import rounding
from ballproof.errors import SoundnessError
from ballproof.problems import Region


def recheck(network: Network, region: Region, goal: Goal, points: Tensor, batch_size: int) -> AttackResult:
    """What the network, in evaluation mode and the points' own dtype, says of each point; no word of the search counts.

    A point that does not break the goal here is no success. A point that lies outside its region by more than
    `rounding(region)` is a bug of the search and raises `SoundnessError`.
    """
    points = points.detach()
    inside = region.contains(points, tolerance=rounding(region))
    if not bool(inside.all()):
        first = int((~inside).nonzero()[0])
        raise SoundnessError(f"the attack's point for example {first} of {len(points)} lies outside its region: a bug")
    with torch.no_grad(), evaluating(network):
        parts = [ask(network, part) for part in chunks(points, batch_size)]
    if not parts:
        empty = points.new_zeros(0)
        return AttackResult(points, empty.bool(), empty, empty.long())
    outputs = torch.cat(parts)
    return AttackResult(points, goal.broken(outputs), goal.margins(outputs), outputs.flatten(1).argmax(dim=1))
