"""`Call`: a torch function of constants alone, evaluated anew at each pass, so that it follows the live parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.base import Argument, Operation, Role
from ballproof.values import Interval


@dataclass(frozen=True)
class Slot:
    """The place of one of the node's inputs among the arguments of a `Call`."""

    index: int


@dataclass(frozen=True)
class Call(Operation):
    """`function(*positional, **keywords)` with the node's inputs in the slots; `pick` is an item of several results.

    Weight scaling, weight normalisation, a reshaped table: whatever of a module does not depend on its input.
    Gradients reach the parameters. types: of the inputs, for a probe of shapes, which knows floats alone.
    """

    function: Callable[..., Any]
    positional: tuple[object, ...] = (Slot(0),)
    keywords: tuple[tuple[str, object], ...] = ()
    pick: int | None = None
    types: tuple[torch.dtype | None, ...] = ()

    def forward(self, *inputs: Tensor) -> Tensor:
        inputs = tuple(map(_typed, inputs, self.types)) if self.types else inputs
        positional = [_filled(p, inputs) for p in self.positional]
        value = self.function(*positional, **{k: _filled(v, inputs) for k, v in self.keywords})
        result: Tensor = value if self.pick is None else value[self.pick]
        return result

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        raise UnsupportedError(f"{self} of values that depend on the input; supported: of constants")

    def interval(self, *inputs: Argument) -> Interval:
        return Interval.point(self.forward(*(i for i in inputs if isinstance(i, Tensor))))


def _typed(probe: Tensor, wanted: torch.dtype | None) -> Tensor:
    return probe if wanted is None or wanted.is_floating_point or not probe.is_meta else probe.to(wanted)


def _filled(template: object, inputs: tuple[Tensor, ...]) -> object:
    if isinstance(template, Slot):
        return inputs[template.index]
    if isinstance(template, tuple):
        return [_filled(t, inputs) for t in template]
    return template
