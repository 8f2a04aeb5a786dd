"""What an attack tries to reach: a point where the label, or the property, fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from ballproof.errors import InputError
from ballproof.problems import Label, Property, Region

LOSSES = ("margin", "cross-entropy", "dlr")


@dataclass(frozen=True, eq=False)
class Towards:
    """That the network is brought to answer `classes (batch,)`, no other class will do."""

    classes: Tensor


Target: TypeAlias = Property | Label | Tensor | Towards
"""What must hold: a `Property`, `classified_as(labels)`, or the right labels `(batch,)` themselves; or `Towards(classes)`."""


class Goal(ABC):
    """What is broken, by how much, and what to descend on. Every method maps `outputs (batch, *output)` to `(batch,)`.

    Laws: `broken` wherever `margins` is negative, never where it is positive; each example's numbers depend on its own
    outputs alone; `goal[index]` is the same goal on some examples.
    """

    @abstractmethod
    def margins(self, outputs: Tensor) -> Tensor:
        """How far each example is from being broken, in units of the outputs."""

    @abstractmethod
    def broken(self, outputs: Tensor) -> Tensor:
        """True where the outputs break what had to hold."""

    @abstractmethod
    def descent(self, outputs: Tensor) -> Tensor:
        """The loss that a search makes small; differentiable."""

    @abstractmethod
    def __getitem__(self, index: Tensor) -> Goal:
        """The same goal for the examples of `index`."""


@dataclass(frozen=True, eq=False)
class Labelled(Goal):
    """What the goals about a class of each example share: `labels (batch,)`, and the loss that a search descends on."""

    labels: Tensor
    loss: str = "margin"

    @property
    @abstractmethod
    def target(self) -> Target:
        """What the goal was made of."""

    @abstractmethod
    def __getitem__(self, index: Tensor) -> Labelled:
        """The same goal for the examples of `index`."""

    def broken(self, outputs: Tensor) -> Tensor:
        return self.margins(outputs) <= 0

    def lead(self, outputs: Tensor) -> Tensor:
        """By how much the class of `labels` exceeds the largest other one."""
        column = self.column(outputs)
        own = outputs.gather(1, column).squeeze(1)
        return own - outputs.scatter(1, column, -torch.inf).max(dim=1).values

    def column(self, outputs: Tensor) -> Tensor:
        if outputs.ndim != 2:
            raise InputError(f"labels need outputs (batch, classes), the network gives {tuple(outputs.shape)}")
        classes = outputs.shape[1]
        if classes < 2:
            raise InputError(f"labels need a network with 2 outputs or more, this has {classes}; attack a `Property`")
        if bool((self.labels >= classes).any()):
            raise InputError(f"`labels` holds {int(self.labels.max())}, the network has the classes 0 to {classes - 1}")
        return self.labels[:, None]


@dataclass(frozen=True, eq=False)
class Misclassify(Labelled):
    """Another class than `labels (batch,)` scores at least as high, so that the label is no longer the only answer.

    The margin is `z_y - max_{j != y} z_j`; a tie (margin 0) breaks the label, as no proof `margin > 0` can stand there.
    targets: `(batch,)`, the class that a search heads for in place of the best other one. `dlr` is the difference of logits
    ratio (Croce & Hein 2020, equations 6 and 7): the margin in units of the spread of the largest logits, so that it does not
    change with their scale; of networks with too few classes for the spread (3, or 4 with targets) it is the plain margin.
    """

    targets: Tensor | None = None

    @property
    def target(self) -> Tensor:
        return self.labels

    def margins(self, outputs: Tensor) -> Tensor:
        return self.lead(outputs)

    def descent(self, outputs: Tensor) -> Tensor:
        self.column(outputs)
        if self.loss == "cross-entropy":
            if self.targets is None:
                return -functional.cross_entropy(outputs, self.labels, reduction="none")
            return functional.cross_entropy(outputs, self.targets, reduction="none")
        return self._towards(outputs) / (spread(outputs, 3 if self.targets is None else 4) if self.loss == "dlr" else 1)

    def headed(self, targets: Tensor) -> Misclassify:
        """The same goal, with a search that heads for these classes."""
        return Misclassify(self.labels, self.loss, targets)

    def __getitem__(self, index: Tensor) -> Misclassify:
        return Misclassify(self.labels[index], self.loss, None if self.targets is None else self.targets[index])

    def _towards(self, outputs: Tensor) -> Tensor:
        """The label's logit minus the target's, or minus the largest other one."""
        if self.targets is None:
            return self.margins(outputs)
        own, other = (outputs.gather(1, chosen[:, None]).squeeze(1) for chosen in (self.labels, self.targets))
        return own - other


@dataclass(frozen=True, eq=False)
class Reach(Labelled):
    """The class of `labels (batch,)` scores at least as high as every other: a targeted attack; a tie counts as reached.

    The margin is `max_{j != t} z_j - z_t`; `dlr` is it in units of the spread of the four largest logits.
    """

    @property
    def target(self) -> Towards:
        return Towards(self.labels)

    def margins(self, outputs: Tensor) -> Tensor:
        return -self.lead(outputs)

    def descent(self, outputs: Tensor) -> Tensor:
        self.column(outputs)
        if self.loss == "cross-entropy":
            return functional.cross_entropy(outputs, self.labels, reduction="none")
        return self.margins(outputs) / (spread(outputs, 4) if self.loss == "dlr" else 1)

    def __getitem__(self, index: Tensor) -> Reach:
        return Reach(self.labels[index], self.loss)


def spread(outputs: Tensor, least: int) -> Tensor | float:
    """The largest logit minus the mean of the third up to number `least`; never 0; 1 where there are fewer classes."""
    if outputs.shape[1] < least:
        return 1.0
    top = outputs.topk(least, dim=1).values
    return (top[:, 0] - top[:, 2:].mean(1)).clamp_min(torch.finfo(outputs.dtype).tiny ** 0.5)


@dataclass(frozen=True, eq=False)
class Violate(Goal):
    """The outputs satisfy the violation of `property`: some group has every value at or below 0.

    The margin is the smallest over the groups of the largest value in the group, as in `Property.worst`.
    """

    property: Property

    def margins(self, outputs: Tensor) -> Tensor:
        return self.property.worst(self.property.values(outputs))

    def broken(self, outputs: Tensor) -> Tensor:
        return self.property.violated(outputs)

    def descent(self, outputs: Tensor) -> Tensor:
        return self.margins(outputs)

    def __getitem__(self, index: Tensor) -> Violate:
        return Violate(self.property[index])


def goal_of(target: Target, region: Region, loss: str) -> Goal:
    """What breaks `target` on the examples of `region`; `InputError` if the two or the loss do not fit."""
    if isinstance(target, Property):
        if loss != "margin":
            raise InputError(f"`loss` = {loss!r} needs labels; a `Property` is attacked with `loss='margin'`")
        return Violate(target)
    plain = target.classes if isinstance(target, Towards) else target.labels if isinstance(target, Label) else target
    labels = torch.as_tensor(plain, device=region.device)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"`labels` must be whole numbers, got {labels.dtype}")
    if labels.shape != (region.batch,):
        raise InputError(f"`labels` must have one entry for each of {region.batch} examples, got {tuple(labels.shape)}")
    if bool((labels < 0).any()):
        raise InputError(f"`labels` holds {int(labels.min())}, expected classes from 0 on")
    return (Reach if isinstance(target, Towards) else Misclassify)(labels.long().clone(), loss)
