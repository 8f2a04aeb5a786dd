"""What an operation is: settings, a forward, and rules. An operation knows no graph and holds no tensor.

Every forward takes tensors whose axis 0 is the batch, or constants that broadcast against it. An argument *varies* when
it depends on the region's input; the others are constants and may be live parameters. Rules receive an `Interval` for
an argument that varies and a `Tensor` for a constant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.operations.phases import Apart
from ballproof.operations.window import Window
from ballproof.values import Interval, Relaxation

Argument = Interval | Tensor
Shape = tuple[int, ...]
Slope = Literal["parallel", "adaptive"] | tuple[Tensor, ...]
Rule = Callable[..., Tensor]
"""Ends of each argument that varies, `(2, batch, *argument)`, the lower ones first -> those of the output."""


class Role(Enum):
    """How a node depends on the region's input."""

    CONSTANT = "constant"
    INPUT = "input"
    AFFINE = "affine"
    NONLINEAR = "nonlinear"


class Operation(ABC):
    """The common ground. Subclasses are frozen dataclasses of settings; equal settings mean equal operations."""

    coordinatewise: ClassVar[bool] = False
    """Each output coordinate depends on one coordinate of one varying input, and no two on the same one."""

    codomain: tuple[float, float] = (-inf, inf)
    """Numbers that every value lies between, ends included, whatever the arguments, in floats too. Law: sampled points do.

    Without an end where runtimes approximate the function: ONNX Runtime's tanh goes beyond 1.
    """

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """The value of the operation. Law: batch entries do not touch each other."""

    def role(self, varies: tuple[bool, ...]) -> Role:
        """The role of a node with these varying arguments; refuses what is not modelled, saying what would be."""
        if not any(varies):
            return Role.CONSTANT
        return self.varying_role(varies)

    @abstractmethod
    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        """`role` when at least one argument varies."""

    @abstractmethod
    def interval(self, *inputs: Argument) -> Interval:
        """Encloses `forward` on the intervals. Law: sampled points lie inside; point intervals give a point."""

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        """`interval` for constants that never change, on ends in one tensor; what follows from them alone is computed once.

        arguments: the constants, None where an argument varies. Law: equals `interval`, up to rounding.
        """

        def ends(*varying: Tensor) -> Tensor:
            boxes = iter(varying)
            found = self.interval(*(Interval(*next(boxes)) if a is None else a for a in arguments))
            return torch.stack([found.lower, found.upper])

        return ends

    def only_first(self, varies: tuple[bool, ...], what: str) -> None:
        """Refuse varying parameters: every argument but the first must be a constant."""
        if any(varies[1:]):
            raise UnsupportedError(f"{type(self).__name__} with {what} that depends on the input; supported: a constant one")


class Affine(Operation):
    """An affine function of the arguments that vary, jointly. States its forward; the rest follows from it."""

    nonnegative: ClassVar[bool] = False
    """Every coefficient is >= 0, so the forward of the ends is the interval."""

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        return Role.AFFINE

    def interval(self, *inputs: Argument) -> Interval:
        if not self.nonnegative:
            return interval_by_rows(self, inputs)
        lower = self.forward(*(i.lower if isinstance(i, Interval) else i for i in inputs))
        upper = self.forward(*(i.upper if isinstance(i, Interval) else i for i in inputs))
        return Interval(lower, upper)

    def rule(self, arguments: tuple[Tensor | None, ...]) -> Rule:
        if not self.nonnegative:
            return super().rule(arguments)

        def ends(*varying: Tensor) -> Tensor:
            flat = iter(varying)
            found: Tensor = self.forward(*(next(flat).flatten(0, 1) if a is None else a for a in arguments))
            return found.reshape(2, -1, *found.shape[1:])

        return ends

    def pull_back(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[Tensor | None, ...]:
        """The coefficients on each varying argument of `cotangent · forward`; the transpose of the linear part.

        cotangent: `(n, *output)`. arguments: the constants, None where an argument varies. shapes: per-example shape of
        each argument. Returns `(n, *input)` for each varying argument, None for the others. Law: equals the vjp.
        """
        return vector_jacobian(self, cotangent, arguments, shapes)

    def pull_queries(
        self, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
    ) -> tuple[tuple[Tensor | None, ...], Tensor | float]:
        """`pull_back` of queries `(batch or 1, query, *output)`, and what the constant term adds, `(batch or 1, query)`."""
        ahead, constant = cotangent.shape[:2], self.constant_term(arguments, shapes)
        added: Tensor | float = 0.0
        if constant is not None:
            added = cotangent.reshape(*ahead, cotangent.shape[2:].numel()) @ constant.flatten().to(cotangent.dtype)
        pulled = self.pull_back(cotangent.flatten(0, 1), arguments, shapes)
        return tuple(None if p is None else p.unflatten(0, ahead) for p in pulled), added

    def rows(
        self, index: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...], output: Shape, like: Tensor
    ) -> tuple[Tensor | None, ...]:
        """The pull-back of single coordinates, at the flat places `index (n,)`. Law: equals `pull_back` of unit vectors."""
        return self.pull_back(unit_rows(index, output, like), arguments, shapes)

    def window(self, window: Window, shapes: tuple[Shape, ...]) -> Window | None:
        """The window of each varying input that a window of the output sees; None where windows are not modelled.

        Only for operations on maps `(channels, height, width)` whose pull-back is the same everywhere on the map.
        """
        return None

    def pull_window(self, cotangent: Tensor, arguments: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """The coefficients of a window of each varying input from those of windows of the output, `(n, *window)`.

        Law: equals `pull_back`, cut to the window. Cells outside the map take part like any other.
        """
        raise NotImplementedError(f"{type(self).__name__} models no windows")

    def apart(self, cotangent: Tensor, arguments: tuple[Tensor | None, ...]) -> Apart | None:
        """Another order of the first argument in which windows are pulled back faster; None where there is none.

        For windows `(n, *window)` of the output whose coefficients are only to be added up behind it.
        """
        return None

    def constant_term(self, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]) -> Tensor | None:
        """The forward at zero, `(1, *output)`; None when it is identically zero."""
        constant = next((a for a in arguments if a is not None), None)
        if constant is None:
            return None
        return self.forward(*_fill(arguments, shapes, 1, constant))


class Nonlinear(Operation):
    """An operation that needs a relaxation."""

    def varying_role(self, varies: tuple[bool, ...]) -> Role:
        return Role.NONLINEAR

    @abstractmethod
    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        """Two lines that enclose the operation on the intervals.

        slope: `parallel` gives both lines the same slopes (Wong & Kolter 2018, Fast-Lin); `adaptive` the lines of least
        area (CROWN, DeepPoly); tensors are the free parameters that `start` counts, and may have a query axis behind
        the batch axis if the intervals have one of length 1 there. Law: the lines enclose every sampled point and every
        kink, for any parameters.
        """

    def start(self, *inputs: Argument) -> tuple[Tensor, ...]:
        """The free parameters with which `relax` gives the adaptive lines; none where nothing is free."""
        return ()

    def confine(self, parameters: tuple[Tensor, ...]) -> None:
        """Move free parameters, in place, into the range outside which they are useless; unlimited unless said."""

    @abstractmethod
    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        """For each varying input, a mask of the coordinates where a tighter interval could improve the relaxation."""

    cuttable: ClassVar[bool] = False
    """Whether `sway` says where a search may cut the intervals of its arguments."""

    def sway(self, cotangent: Tensor, *inputs: Argument) -> tuple[Tensor, ...]:
        """For each varying input, by how much the coefficient of each coordinate turns on the intervals, in size.

        Times the coordinate's width it estimates what the relaxation of `cotangent · output` loses by it: a score for a search,
        no bound. cotangent: `(batch, *output)`.
        """
        raise NotImplementedError(f"{type(self).__name__} tells no search where to cut")

    def level(self, cotangent: Tensor) -> Tensor | None:
        """What is taken off the cotangents `(batch or 1, query, *output)` of outputs that sum to one, once for each such sum.

        Law: `cotangent · y = (cotangent - level) · y + sum(level)`. None where no sum of outputs is known.
        """
        return None

    @abstractmethod
    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        """The coefficients on each varying input. cotangent: `(batch or 1, query, *output)`.

        slopes: as in `Line`, with a query axis behind the batch axis. shapes: per-example shapes of the varying inputs.
        Returns `(batch, query, *input)` each.
        """


def unit_rows(index: Tensor, shape: Shape, like: Tensor) -> Tensor:
    """Unit vectors `(..., *shape)` at the flat places `index (...)`, of the type and on the device of `like`."""
    units = torch.zeros(*index.shape, torch.Size(shape).numel(), dtype=like.dtype, device=like.device)
    return units.scatter_(-1, index.unsqueeze(-1), 1.0).reshape(*index.shape, *shape)


def _fill(arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...], n: int, like: Tensor) -> list[Tensor]:
    """The arguments with zeros in place of the varying ones."""
    return [like.new_zeros((n, *s)) if a is None else a for a, s in zip(arguments, shapes, strict=True)]


def vector_jacobian(
    operation: Operation, cotangent: Tensor, arguments: tuple[Tensor | None, ...], shapes: tuple[Shape, ...]
) -> tuple[Tensor | None, ...]:
    """The pull-back of an affine operation by automatic differentiation at zero; differentiable in everything."""
    keep_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        filled = _fill(arguments, shapes, cotangent.shape[0], cotangent)
        varying = [f.requires_grad_() for f, a in zip(filled, arguments, strict=True) if a is None]
        output = operation.forward(*filled)
        found = iter(torch.autograd.grad(output, varying, cotangent, create_graph=keep_graph, materialize_grads=True))
    return tuple(next(found) if a is None else None for a in arguments)


def interval_by_rows(operation: Affine, inputs: tuple[Argument, ...]) -> Interval:
    """The exact interval of any affine operation, from its rows. Price: one pull-back an output coordinate."""
    arguments = tuple(None if isinstance(i, Interval) else i for i in inputs)
    shapes = tuple(tuple(i.lower.shape[1:]) if isinstance(i, Interval) else tuple(i.shape) for i in inputs)
    varying = [i for i in inputs if isinstance(i, Interval)]
    zero = operation.forward(*_fill(arguments, shapes, 1, varying[0].lower))
    output = zero.shape[1:]
    rows = torch.eye(output.numel(), dtype=zero.dtype, device=zero.device).reshape(-1, *output)
    pulled = [p.flatten(1) for p in operation.pull_back(rows, arguments, shapes) if p is not None]
    center = sum((i.center.flatten(1) @ p.T for i, p in zip(varying, pulled, strict=True)), zero.flatten(1))
    radius = sum((i.radius.flatten(1) @ p.abs().T for i, p in zip(varying, pulled, strict=True)), torch.zeros_like(center))
    return Interval((center - radius).reshape(-1, *output), (center + radius).reshape(-1, *output))
