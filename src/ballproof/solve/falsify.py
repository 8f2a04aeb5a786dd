"""The search for a counterexample that precedes every proof: many walks at once, each towards a group of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from ballproof.solve.clock import Clock, Task

HALVINGS = 0.5, 0.75
"""Where along a walk the step is cut to a tenth, twice: first the direction, then the digits."""


def falsify(task: Task, clock: Clock, restarts: int = 30, steps: int = 50, seed: int = 0) -> Tensor | None:
    """A confirmed counterexample, or None. Nothing is proven by None.

    Every restart walks `steps` steepest steps of the region's norm, projected back, down the margin of one group of the
    property; the groups take turns. Price: `steps` forward and backward passes of `restarts` points.
    """
    region, asked = task.region, task.property
    generator = torch.Generator().manual_seed(seed)
    groups = torch.tensor(asked.groups, device=region.device)
    names = groups.unique()
    wanted = names[torch.arange(restarts) % len(names)]
    mask = groups.unsqueeze(0) != wanted.unsqueeze(1)
    index = [0] * restarts
    many = region[index]
    with torch.no_grad():
        points = many.sample(generator)
        points[0] = region.project(region.box().center)[0]
    reach = region.box().radius
    momentum = torch.zeros_like(points)
    for number in range(steps):
        rate = 0.3 * (1.0 if number < HALVINGS[0] * steps else 0.1 if number < HALVINGS[1] * steps else 0.01)
        leaf = points.detach().requires_grad_()
        with torch.enable_grad():
            values = asked.values(task.graph(leaf))
            own = values.masked_fill(mask, -torch.inf).amax(1)
            (gradient,) = torch.autograd.grad(own.sum(), leaf)
        with torch.no_grad():
            bad = (asked.worst(values.detach()) <= 0).nonzero().flatten()
            if len(bad) and (found := task.confirm(points[bad[:16]])) is not None:
                return found
            size = gradient.abs().flatten(1).mean(1).clamp_min(1e-30).reshape(-1, *(1 for _ in gradient.shape[1:]))
            momentum = 0.5 * momentum + gradient / size
            points = many.project(points - rate * reach * many.step(momentum))
        if clock.over:
            return None
    with torch.no_grad():
        bad = (asked.worst(asked.values(task.graph(points))) <= 0).nonzero().flatten()
    return task.confirm(points[bad[:16]]) if len(bad) else None
