"""The example of the plane, live: two networks that learn step by step, their decision regions, and which boxes are proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ballproof.bounds import margins
from ballproof.data import Dataset, points
from ballproof.errors import InputError
from ballproof.networks.architectures import build
from ballproof.problems import Linf
from ballproof.serve.lens import alarm
from ballproof.train import robust_loss

KINDS = ("standard", "robust")
LARGEST, RADIUS = 0.12, 0.08
CELLS, BOX_CELLS = 72, 9
AT_ONCE, RAMP, RATE = 15, 300, 2e-2
"""Steps of training in one question, steps until the training radius is whole, learning rate."""


@dataclass
class Learner:
    """One network of the plane and how far it has learned."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int = 0


@dataclass
class Plane:
    """Twelve points in two classes, and a 2-100-2 network of each kind. Distances are in the units of the square."""

    data: Dataset = field(default_factory=lambda: points(radius=RADIUS))
    learners: dict[str, Learner] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """What the page must know before it asks."""
        told = {"points": self.data.inputs.tolist(), "labels": self.data.labels.tolist(), "kinds": list(KINDS)}
        return told | {"largest": LARGEST, "radius": RADIUS, "cells": CELLS}

    def look(self, kind: str, eps: float, train: bool = False, restart: bool = False) -> dict[str, Any]:
        """Regions and boxes of radius eps, after some steps of training if `train`.

        `regions`: CELLS lines of CELLS characters, 0 or 1, from the lower left corner on. `proven`: for each point whether no
        input in its box is answered otherwise; `broken`: a point of the box that is, or None.
        """
        learner = self._learner(kind, restart)
        if not 0 <= eps <= LARGEST:
            raise InputError(f"`eps` is {eps!r}, expected 0 to {LARGEST}")
        for _ in range(AT_ONCE if train else 0):
            self._step(learner, kind)
        with torch.no_grad():
            proven = (margins(learner.module, Linf(self.data.inputs, eps), self.data.labels, "crown") > 0).all(1)
            found = [self._worst(learner.module, i, eps) for i in range(len(proven))]
            axis = torch.linspace(0, 1, CELLS)
            grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
            won = learner.module(grid).argmax(1).reshape(CELLS, CELLS)
        for safe, worst in zip(proven.tolist(), found, strict=True):
            alarm(safe, worst is not None, eps)
        regions = ["".join(map(str, row)) for row in won.tolist()]
        return {"regions": regions, "proven": proven.tolist(), "broken": found, "steps": learner.steps, "eps": eps}

    def _learner(self, kind: str, restart: bool) -> Learner:
        if kind not in KINDS:
            raise InputError(f"`kind` is {kind!r}, expected one of {', '.join(KINDS)}")
        if restart or kind not in self.learners:
            with torch.random.fork_rng():
                torch.manual_seed(1)
                module = build("two-d", self.data.shape, self.data.classes)
            self.learners[kind] = Learner(module, torch.optim.Adam(module.parameters(), RATE if kind == "robust" else RATE / 4))
        return self.learners[kind]

    def _step(self, learner: Learner, kind: str) -> None:
        inputs, labels = self.data.inputs, self.data.labels
        eps = RADIUS * min(1.0, (learner.steps + 1) / RAMP)
        robust = kind == "robust"
        loss = robust_loss(learner.module, inputs, labels, eps, clip=None) if robust else None
        loss = F.cross_entropy(learner.module(inputs), labels) if loss is None else loss
        learner.optimizer.zero_grad()
        loss.backward()
        learner.optimizer.step()
        learner.steps += 1

    def _worst(self, module: nn.Module, index: int, eps: float) -> list[float] | None:
        """A point of the box that is answered otherwise, the one of least margin on a grid; None if there is none."""
        axis = torch.linspace(-eps, eps, BOX_CELLS)
        grid = self.data.inputs[index] + torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
        outputs: Tensor = module(grid)
        label = int(self.data.labels[index])
        margin = outputs[:, label] - outputs[:, 1 - label]
        at = int(margin.argmin())
        return grid[at].tolist() if float(margin[at]) <= 0 else None
