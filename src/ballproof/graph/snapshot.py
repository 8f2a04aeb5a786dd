"""`Snapshot`: a network with weights of its own, so that what follows from them alone is computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ballproof.errors import SoundnessError
from ballproof.graph.entry import Entry
from ballproof.graph.graph import Graph
from ballproof.graph.head import Head
from ballproof.graph.node import Node
from ballproof.operations import Role
from ballproof.operations.base import Rule


class Owned(Mapping[str, Tensor]):
    """Copies of tensors, held here alone. They are given out as they are, so whoever reads one must not write to it."""

    def __init__(self, given: Mapping[str, Tensor]) -> None:
        with torch.inference_mode(False), torch.no_grad():
            self._held = {k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in given.items()}
        self._versions = {k: v._version for k, v in self._held.items()}

    def part(self, names: Iterable[str]) -> Owned:
        """Some of the same tensors, without copies."""
        found = Owned({})
        found._held = {k: v for k, v in self._held.items() if k in names}
        found._versions = {k: self._versions[k] for k in found._held}
        return found

    def unchanged(self) -> dict[str, Tensor]:
        """The tensors; raises `SoundnessError` if an operation has written to one. Writing through `.data` leaves no sign."""
        for name, value in self._held.items():
            if value._version != self._versions[name]:
                raise SoundnessError(f"the tensor `{name}` of a snapshot was changed in place; make a new snapshot")
        return dict(self._held)

    def __getitem__(self, name: str) -> Tensor:
        return self._held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


@dataclass(frozen=True)
class Step:
    """A computed node, the arguments that vary, and its interval rule with the constants built in."""

    node: Node
    varying: tuple[str, ...]
    rule: Rule


@dataclass(frozen=True, eq=False)
class Snapshot(Graph):
    """A graph that answers for the weights as they were when it was made, whatever happens to the module afterwards.

    The tensors are copies that nothing else holds; so are those of every snapshot that `to`, `with_values`, pickling or copying
    make of it. They can be read in `values` and must not be written to: what an operation in place changed is refused by
    `SoundnessError`; what is written through `.data` or NumPy is not seen. No tensor has gradients: to train, ask about the
    module. Price: the memory of the weights, and twice that once intervals were asked for.
    """

    def __post_init__(self) -> None:
        if not isinstance(self.values, Owned):
            object.__setattr__(self, "values", Owned(self.values))

    @staticmethod
    def of(graph: Graph) -> Snapshot:
        """The network as it is now; what is computed from constants alone becomes a constant."""
        with torch.no_grad():
            known = graph.constants()
        given = (replace(n, operation=None, inputs=()) if n.role is Role.CONSTANT else n for n in graph.nodes)
        whole = replace(graph, nodes=tuple(given), values=known).until(graph.output)
        return Snapshot(whole.nodes, whole.input, whole.output, whole.values)

    def constants(self) -> dict[str, Tensor]:
        assert isinstance(self.values, Owned)
        return self.values.unchanged()

    def _some(self, needed: set[str]) -> Mapping[str, Tensor]:
        assert isinstance(self.values, Owned)
        return self.values.part(needed)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The computed nodes that depend on the input, in order, with rules for their intervals."""
        with torch.inference_mode(False), torch.no_grad():
            return tuple(self._step(node, self.constants()) for node in self.varying)

    @cached_property
    def entry(self) -> Entry | None:
        """The first layer, if it is alone with the input."""
        with torch.inference_mode(False), torch.no_grad():
            return Entry.of(self.varying, self.input, self.input_shape, self.constants())

    @cached_property
    def head(self) -> Head | None:
        """The last layers as the margins of every label, where they are affine on one node."""
        with torch.inference_mode(False), torch.no_grad():
            return Head.of(self, self.constants())

    def _step(self, node: Node, constants: Mapping[str, Tensor]) -> Step:
        assert node.operation is not None
        varying = tuple(i for i in node.inputs if self.node[i].varies)
        return Step(node, varying, node.operation.rule(self.arguments(node, constants)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self.nodes, self.input, self.output, dict(self.values))
