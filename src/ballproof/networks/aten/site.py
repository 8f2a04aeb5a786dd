"""`Site`: one ATen call as its translator sees it: arguments by their schema names, and how to add nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.networks.aten.call import Call, Slot
from ballproof.operations import Operation
from ballproof.operations.base import Shape


class Ref(str):
    """The name of a node of the graph that is being built."""


@dataclass(frozen=True)
class Unmodelled:
    """One of several results of a call, which has no node; whoever uses it is refused."""

    what: str

    def __repr__(self) -> str:
        return self.what


@dataclass(frozen=True, eq=False, repr=False)
class Masked:
    """Values that stand at -infinity at some fixed places: finite ones at a node, and where they do not count.

    places: bool, of the node's shape per example. Sums and a softmax know it; whoever else uses it is refused.
    """

    ref: Ref
    places: Tensor

    def __repr__(self) -> str:
        return "values of which some are -infinity"


@dataclass(frozen=True, eq=False)
class Site:
    """Built by the walk for every call that depends on the input.

    arguments: by schema name, defaults filled in, tensors as `Ref`. result: the per-example shapes of the results.
    label: the name of the main node; further nodes are named `label.part`. like: an empty tensor of the network's type
    and device. own: the constants that the module holds. function: the ATen call itself.
    """

    builder: GraphBuilder
    arguments: Mapping[str, object]
    result: list[Shape]
    label: str
    source: str
    like: Tensor
    own: set[Ref]
    function: Callable[..., Any]

    def ref(self, name: str) -> Ref:
        """A tensor argument."""
        value = self.arguments[name]
        if not isinstance(value, Ref):
            raise UnsupportedError(f"argument `{name}` is {value!r}; supported: a tensor")
        return value

    def given_as(self, name: str) -> Ref | Masked:
        """A tensor argument, masked or not."""
        value = self.arguments[name]
        return value if isinstance(value, Masked) else self.ref(name)

    def current(self, ref: str) -> Tensor:
        """The value of a constant as it is now."""
        node = self.builder.nodes[ref]
        if node.operation is None:
            return self.builder.values[ref]
        with torch.no_grad():
            return node.operation.forward(*(self.current(i) for i in node.inputs))

    def refs(self, name: str) -> list[Ref]:
        """A list of tensors."""
        listed = self.arguments[name]
        if not isinstance(listed, list) or not all(isinstance(r, Ref) for r in listed):
            raise UnsupportedError(f"argument `{name}` is {listed!r}; supported: a list of tensors")
        return listed

    def given(self, name: str) -> bool:
        return self.arguments.get(name) is not None

    def ints(self, name: str, length: int = 0) -> tuple[int, ...]:
        """A list of integers; a single one is repeated to `length`."""
        value = self.arguments[name]
        listed = tuple(cast("list[int]", value)) if isinstance(value, list | tuple) else (value,)
        if not all(type(v) is int for v in listed):
            raise UnsupportedError(f"argument `{name}` depends on the batch size; supported: fixed sizes")
        numbers = cast("tuple[int, ...]", listed)
        return numbers * length if len(numbers) == 1 and length else numbers

    def integer(self, name: str) -> int:
        return self.ints(name)[0]

    def maybe_integer(self, name: str) -> int | None:
        return self.integer(name) if self.given(name) else None

    def number(self, name: str) -> float:
        """A plain number; one that depends on the batch size is refused."""
        value = self.arguments[name]
        if not isinstance(value, float | int) or isinstance(value, bool):
            raise UnsupportedError(f"argument `{name}` is {value!r}; supported: a fixed number")
        return value

    def varies(self, ref: str) -> bool:
        return self.builder.nodes[ref].varies

    def shape(self, ref: str) -> Shape:
        """Per example where the node varies; the whole shape where it is constant."""
        return self.builder.shape(ref)

    def rank(self, ref: str) -> int:
        """The number of axes, the batch included."""
        return len(self.shape(ref)) + self.varies(ref)

    def widest(self, refs: list[Ref]) -> Ref:
        """The tensor with the most axes."""
        return max(refs, key=self.rank)

    def expect_rank(self, ref: str, rank: int) -> None:
        if self.rank(ref) != rank:
            shape = ", ".join(["batch", *map(str, self.shape(ref))])
            raise UnsupportedError(f"an input of shape ({shape}); supported: {rank} axes, (batch, channel, ...)")

    def axis(self, name: str, ref: str, extra: int = 0) -> int:
        """The axis argument, counted from 0 = batch; refuses the batch axis itself."""
        return self.inner_axis(self.integer(name), ref, extra)

    def inner_axis(self, axis: int, ref: str, extra: int = 0) -> int:
        found = axis % (self.rank(ref) + extra)
        if found == 0:
            raise UnsupportedError("works along the batch axis; supported: axes 1 and on, each example by itself")
        return found

    def add(self, operation: Operation, *inputs: str, part: str = "") -> Ref:
        """A computed node."""
        label = f"{self.label}.{part}" if part else self.label
        return Ref(self.builder.add(operation, inputs, label, self.source))

    def scalar(self, value: float, part: str = "scalar") -> Ref:
        """A fixed number as a constant node of the network's floating type."""
        tensor = torch.as_tensor(value, dtype=self.like.dtype, device=self.like.device)
        return Ref(self.builder.constant(tensor, f"{self.label}.{part}"))

    def filled(self, value: float, shape: Shape, part: str) -> Ref:
        """A fixed constant of one value."""
        return Ref(self.builder.constant(self.like.new_full(shape, value), f"{self.label}.{part}"))

    def index(self, values: Tensor, part: str) -> Ref:
        """A fixed constant of integers."""
        return Ref(self.builder.constant(values.to(self.like.device), f"{self.label}.{part}"))

    def dtype(self, ref: str) -> torch.dtype:
        """The type of a node; computed ones have the network's."""
        value = self.builder.values.get(ref)
        return self.like.dtype if value is None else value.dtype

    def operand(self, name: str) -> Ref:
        """A tensor argument, or a number as a constant."""
        return self.ref(name) if isinstance(self.arguments[name], Ref) else self.scalar(self.number(name))

    def call(self, part: str, function: Callable[..., Any], *arguments: object) -> Ref:
        """A live constant made of constants; those among the arguments are `Ref`."""
        refs = [a for a in arguments if isinstance(a, Ref)]
        slots = tuple(Slot(refs.index(a)) if isinstance(a, Ref) else a for a in arguments)
        return self.add(Call(function, slots), *refs, part=part)

    def refuse(self, what: str, supported: str) -> UnsupportedError:
        return UnsupportedError(f"{what}; supported: {supported}")
