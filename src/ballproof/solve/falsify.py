"""The search for a counterexample that precedes every proof: many walks at once, each towards a group of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from ballproof.graph import Graph
from ballproof.operations.relu import Relu
from ballproof.operations.stairs import Sign, Step
from ballproof.problems import Property
from ballproof.solve.clock import Clock, Task


@dataclass(frozen=True)
class Walk:
    """How a restart walks. step: the first one, as a share of half the region's width in each coordinate; momentum: how much
    of a direction is kept. Wide steps find corners soon, narrow ones with much momentum find small pockets."""

    restarts: int
    steps: int
    step: float = 0.3
    momentum: float = 0.5


SAMPLES = 10_000

QUICK, THOROUGH, LONG = Walk(20, 20), Walk(50, 100), Walk(200, 150, 0.1, 0.8)


LEAK = 0.1
"""Of a rectifier's slope: what leads a walk off a plateau."""

SCHEDULE = (0.5, 1.0), (0.75, 0.1), (1.0, 0.01)
"""Until which share of the walk which share of the step: first the direction, then the digits."""


def falsify(task: Task, clock: Clock, walk: Walk, seed: int = 0) -> Tensor | None:
    """A confirmed counterexample, or None. Nothing is proven by None.

    Every restart walks `steps` steepest steps of the region's norm, projected back. The groups of the property take turns;
    every other restart descends on the largest row of its group, the others on the sum of all rows that are not met yet.
    A region of several examples has one walk in each. Price: `walk.steps` forward and backward passes of all points.
    """
    region, asked, steps = task.region, task.property, walk.steps
    many = region if region.batch > 1 else region[[0] * walk.restarts]
    generator, loss = torch.Generator().manual_seed(seed), _Loss.of(asked, many.batch)
    soft, leaky = softened(task.graph), softened(task.graph, leaky=True)
    with torch.no_grad():
        points = many.sample(generator)
        if not seed:
            points[0] = region.project(region.box().center)[0]
    reach, momentum = many.box().radius, torch.zeros_like(points)
    for number in range(steps):
        rate = walk.step * next(share for until, share in SCHEDULE if number < until * steps)
        values, gradient = _downhill(soft, asked, loss, points)
        flat = (gradient == 0).flatten(1).all(1).nonzero().flatten()
        if len(flat) and leaky is not soft:
            gradient[flat] = _downhill(leaky, asked, loss[flat], points[flat])[1]
        with torch.no_grad():
            if (found := _confirmed(task, values, points)) is not None:
                return found
            size = gradient.abs().flatten(1).mean(1).clamp_min(1e-30).reshape(-1, *(1 for _ in gradient.shape[1:]))
            momentum = walk.momentum * momentum + gradient.nan_to_num(0.0) / size
            points = many.project(points - rate * reach * many.step(momentum))
        if clock.over:
            return None
    with torch.no_grad():
        return _confirmed(task, asked.values(task.graph(points)), points)


def _downhill(soft: Graph, asked: Property, loss: _Loss, points: Tensor) -> tuple[Tensor, Tensor]:
    """The values at the points, and the gradient of the loss there."""
    leaf = points.detach().requires_grad_()
    with torch.enable_grad():
        values = asked.values(soft(leaf))
        (gradient,) = torch.autograd.grad(loss(values).sum(), leaf, materialize_grads=True)
    return values.detach(), gradient


def sampled(task: Task, clock: Clock, count: int, seed: int = 0) -> Tensor | None:
    """A confirmed counterexample among `count` random points, or None.

    Many of the points have some coordinates at an end: where inputs are few, pockets that no walk enters touch the border.
    """
    generator, region = torch.Generator().manual_seed(seed), task.region[[0] * SAMPLES]
    for _ in range(max(1, count // SAMPLES)):
        with torch.no_grad():
            points = region.sample(generator)
            found = _confirmed(task, task.property.values(task.graph(points)), points)
        if found is not None or clock.over:
            return found
    return None


def _confirmed(task: Task, values: Tensor, points: Tensor) -> Tensor | None:
    bad = (task.property.worst(values) <= 0).nonzero().flatten()
    return task.confirm(points[bad[:16]]) if len(bad) else None


@dataclass(frozen=True, eq=False)
class _Loss:
    """others: `(restarts, query)`, the rows of the groups that are not a restart's own. summed: `(restarts,)`."""

    others: Tensor
    summed: Tensor

    @staticmethod
    def of(asked: Property, restarts: int) -> _Loss:
        groups = torch.tensor(asked.groups, device=asked.coefficients.device)
        names = groups.unique()
        turn = torch.arange(restarts, device=groups.device)
        own = names[(turn // 2) % len(names)] if len(names) < restarts else names[turn % len(names)]
        alone = len(names) == len(groups)
        return _Loss(groups.unsqueeze(0) != own.unsqueeze(1), (turn % 2 == 1) & (not alone))

    def __getitem__(self, index: Tensor) -> _Loss:
        return _Loss(self.others[index], self.summed[index])

    def __call__(self, values: Tensor) -> Tensor:
        largest = values.masked_fill(self.others, -torch.inf).amax(1)
        unmet = values.clamp(min=0).masked_fill(self.others, 0.0).sum(1)
        return torch.where(self.summed, unmet, largest)


def softened(graph: Graph, leaky: bool = False) -> Graph:
    """The same function with a gradient where functions jump: that of a smooth step in their place.

    leaky: also where rectifiers rest, so that a walk leaves a plateau on which they all do.
    """
    soft = {**_SOFT, Relu: _LeakyRelu} if leaky else _SOFT
    if not any(type(n.operation) in soft for n in graph.varying):
        return graph
    nodes = [
        replace(n, operation=soft[type(n.operation)](**vars(n.operation))) if n.varies and type(n.operation) in soft else n
        for n in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def _straight(hard: Tensor, soft: Tensor) -> Tensor:
    """The values of one, the gradient of the other."""
    return hard.detach() + soft - soft.detach()


class _SoftSign(Sign):
    def forward(self, *inputs: Tensor) -> Tensor:
        return _straight(super().forward(*inputs), torch.tanh(inputs[0] / _width(inputs[0])))


class _SoftStep(Step):
    def forward(self, *inputs: Tensor) -> Tensor:
        return _straight(super().forward(*inputs), torch.sigmoid(2 * inputs[0] / _width(inputs[0])))


class _LeakyRelu(Relu):
    def forward(self, *inputs: Tensor) -> Tensor:
        return _straight(super().forward(*inputs), leaky_relu(inputs[0], LEAK))


def _width(x: Tensor) -> Tensor:
    """How far from the jump a coordinate is worth moving: the mean distance in this layer."""
    return x.detach().abs().mean().clamp_min(1e-6)


_SOFT: dict[type, Any] = {Sign: _SoftSign, Step: _SoftStep}
