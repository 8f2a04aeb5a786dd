"""Attacks of other people behind our face: what they hand back is moved into the region and asked again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ballproof.attacks.asking import Network, ask, chunks, evaluating
from ballproof.attacks.findings import Findings
from ballproof.attacks.frames import boxed, fits, frame_of
from ballproof.attacks.goal import Labelled, Reach, Target
from ballproof.attacks.result import AttackResult
from ballproof.attacks.search import Task, attacked
from ballproof.attacks.settings import whole
from ballproof.errors import InputError
from ballproof.problems import Region
from ballproof.problems.centered import Centered

Call = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""`call(model, x, y, eps)`: `(batch, *input)`, the points for which it hopes that `model` does not answer `y`."""


class AsModule(nn.Module):
    """Any network of ours as a module that other libraries take: in evaluation mode, without parameters.

    It gives the network's own answers, in the points' dtype, and gradients by the points alone: whatever a library does with
    `backward`, no parameter's `.grad` is touched. So `foolbox.PyTorchModel(AsModule(net), bounds=(0, 1))` and the functions of
    CleverHans, `attack(AsModule(net), x, eps, norm)`, run on modules, graphs and ONNX files alike. dtype: in which the network
    is asked; None for that of the points.
    """

    def __init__(self, network: Network, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.answers, self.dtype = partial(_answers, network), dtype
        self.eval()

    def forward(self, points: Tensor) -> Tensor:
        asked = points if self.dtype is None else points.to(self.dtype)
        answers: Tensor = _Apart.apply(asked, self.answers) if torch.is_grad_enabled() else ask(self.answers, asked)
        fresh: Tensor = answers.to(points.dtype).clone()
        return fresh


def _answers(network: Network, points: Tensor) -> Tensor:
    """A function, so that the module does not take the network's parameters for its own."""
    with evaluating(network):
        return network(points)


class _Apart(torch.autograd.Function):
    """The network with gradients by its input alone."""

    @staticmethod
    def forward(context: Any, points: Tensor, network: Network) -> Tensor:
        with torch.enable_grad():
            context.leaf = points.detach().requires_grad_()
            outputs = context.outputs = ask(network, context.leaf)
        return outputs.detach().clone()

    @staticmethod
    def backward(context: Any, *cotangents: Tensor) -> tuple[Tensor | None, None]:
        if not context.outputs.requires_grad:
            return torch.zeros_like(context.leaf), None
        (found,) = torch.autograd.grad(context.outputs, context.leaf, cotangents[0], retain_graph=True, allow_unused=True)
        return (torch.zeros_like(context.leaf) if found is None else found.nan_to_num(0.0, 0.0, 0.0)), None


class Then(nn.Module):
    """The model after a change of its points; it answers in their dtype."""

    def __init__(self, change: Callable[[Tensor], Tensor], model: nn.Module) -> None:
        super().__init__()
        self.change, self.model = change, model
        self.eval()

    def forward(self, points: Tensor) -> Tensor:
        found: Tensor = self.model(self.change(points))
        return found.to(points.dtype)


class Duel(nn.Module):
    """The model with two classes: 1 is its class `aim`, 0 the largest other one. Who breaks the label 0 has reached `aim`."""

    def __init__(self, model: nn.Module, aim: int) -> None:
        super().__init__()
        self.model, self.aim = model, aim
        self.eval()

    def forward(self, points: Tensor) -> Tensor:
        outputs = self.model(points)
        others = torch.cat([outputs[:, : self.aim], outputs[:, self.aim + 1 :]], 1)
        return torch.stack([others.max(1).values, outputs[:, self.aim]], 1)


@dataclass(frozen=True)
class Foreign:
    """Any callable `(model, x, y, eps) -> x_adv` as an attack of ours.

    Its points are projected into the region and asked of the network again; a point counts only if it breaks the label there,
    so points outside the ball, NaN, and claims of success count for nothing. It gets the examples that are right at the
    center, at most `batch_size` at once and with one radius each time, an `AsModule`, and copies of everything else; the random
    numbers of torch, NumPy and Python are seeded inside and are afterwards as they were.

    A targeted attack is shown as a network of two classes, the target and the best of the others (`Duel`), with the label 0. Of
    a box (and of Linf with a radius for each pixel) it gets coordinates in [0, 1] in which it is a ball of Linf round `x`.
    """

    call: Call
    seed: int = 0
    batch_size: int = 1000

    def __post_init__(self) -> None:
        whole("seed", self.seed, 0)
        whole("batch_size", self.batch_size, 1)
        if not callable(self.call):
            raise InputError(f"`call` is {self.call!r}, expected a function of (model, x, y, eps)")

    def __call__(self, network: Network, region: Region, target: Target) -> AttackResult:
        return borrowed(network, region, target, self.call, self.seed, self.batch_size)


def borrowed(
    network: Network, region: Region, target: Target, call: Call, seed: int, batch_size: int, alone: bool = False
) -> AttackResult:
    """What is left of the points of `call` inside the region; see `Foreign`. alone: boxes one at a time, each as [0, 1]."""

    def hunt(task: Task, findings: Findings) -> None:
        if not isinstance(task.goal, Labelled):
            raise InputError("attacks of other libraries need labels or classes; a `Property` is attacked by `pgd` or `apgd`")
        for group in _alike(task.region, task.goal, findings.unbroken(), alone):
            for places in chunks(group, batch_size):
                part = task[places]
                with seeded(seed):
                    points = _called(call, part)
                findings.offer(places, points, ask(task.network, points), part.goal)

    return attacked(network, region, target, "margin", batch_size, hunt)


def _called(call: Call, part: Task) -> Tensor:
    """The points of `call` for examples that go together, moved into the region."""
    assert isinstance(part.goal, Labelled)
    model: nn.Module = AsModule(part.network, part.region.dtype)
    frame = None
    if boxed(part.region):
        frame = frame_of(part.region.box())
        model, x, eps = Then(frame.back, model), frame.start, frame.eps
    else:
        assert isinstance(part.region, Centered)
        x, eps = part.region.center, float(part.region.reach.flatten()[0])
    labels = part.goal.labels
    if isinstance(part.goal, Reach):
        model, labels = Duel(model, int(labels[0])), torch.zeros_like(labels)
    with torch.enable_grad():
        found = call(model, x.detach().clone(), labels.clone(), eps)
    if not isinstance(found, Tensor) or found.shape != x.shape:
        came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"the attack gave {came}, expected a tensor of points {tuple(x.shape)}")
    found = found.detach().to(x)
    points = torch.where(torch.isfinite(found), found, x)
    return part.region.project(points if frame is None else frame.back(points))


def _alike(region: Region, goal: Labelled, places: Tensor, alone: bool) -> list[Tensor]:
    """The places in parts that are shown together: of one radius, or boxes that fit; with one target."""
    box = boxed(region)
    classes = goal.labels[places].double() if isinstance(goal, Reach) else torch.zeros_like(places, dtype=torch.double)
    radii = (
        torch.zeros_like(classes) if box or not isinstance(region, Centered) else region.reach.flatten(1)[places, 0].double()
    )
    keys, own = torch.stack([classes, radii], 1).unique(dim=0, return_inverse=True)
    groups = [places[own == k] for k in range(len(keys))]
    if not box:
        return groups
    return [p for g in groups for p in ([g] if not alone and fits(region[g].box()) else g.split(1))]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the global generators of torch, NumPy and Python start at `seed`; after, they are as they were."""
    numbers, former = np.random.get_state(), random.getstate()  # noqa: NPY002  the generators that libraries draw from
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(former)
