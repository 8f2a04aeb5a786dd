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
from ballproof.attacks.goal import Misclassify, Target
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


@dataclass(frozen=True)
class Foreign:
    """Any callable `(model, x, y, eps) -> x_adv` as an attack of ours.

    Its points are projected into the region and asked of the network again; a point counts only if it breaks the label there,
    so points outside the ball, NaN, and claims of success count for nothing. It gets the examples that are right at the
    center, at most `batch_size` at once and with one radius each time, an `AsModule`, and copies of everything else; the random
    numbers of torch, NumPy and Python are seeded inside and are afterwards as they were.
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


def borrowed(network: Network, region: Region, target: Target, call: Call, seed: int, batch_size: int) -> AttackResult:
    """What is left of the points of `call` inside the region; see `Foreign`."""

    def hunt(task: Task, findings: Findings) -> None:
        if not isinstance(task.goal, Misclassify) or not isinstance(task.region, Centered):
            raise InputError(
                "attacks of other libraries need labels and a ball; what is neither, or targeted, is attacked by `pgd`"
            )
        radii = _radii(task.region)
        model = AsModule(task.network, task.region.dtype)
        for eps in radii[findings.unbroken()].unique().tolist():
            open_ = (radii == eps) & ~findings.broken
            for places in chunks(open_.nonzero().squeeze(1), batch_size):
                part = task[places]
                with seeded(seed):
                    points = _called(call, model, part, eps)
                findings.offer(places, points, ask(task.network, points), part.goal)

    return attacked(network, region, target, "margin", batch_size, hunt)


def _called(call: Call, model: AsModule, part: Task, eps: float) -> Tensor:
    assert isinstance(part.region, Centered) and isinstance(part.goal, Misclassify)
    center = part.region.center
    with torch.enable_grad():
        found = call(model, center.detach().clone(), part.goal.labels.clone(), eps)
    if not isinstance(found, Tensor) or found.shape != center.shape:
        came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise InputError(f"the attack gave {came}, expected a tensor of points {tuple(center.shape)}")
    found = found.detach().to(center)
    return part.region.project(torch.where(torch.isfinite(found), found, center))


def _radii(region: Centered) -> Tensor:
    """The radius of each example, `(batch,)`."""
    flat = region.reach.flatten(1)
    if flat.shape[1] != 1 and bool((flat != flat[:, :1]).any()):
        raise InputError("attacks of other libraries take one radius an example, not one for each pixel; use `apgd` or `pgd`")
    return flat[:, 0]


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
