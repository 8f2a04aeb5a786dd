"""`Walk`: one pass over the exported calls, writing the nodes of a graph."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.networks.aliases import Aliases
from ballproof.networks.aten import TRANSLATORS
from ballproof.networks.aten.site import Masked, Ref, Site, Unmodelled
from ballproof.networks.aten.table import TAKE_MASKED
from ballproof.networks.constants import Constants
from ballproof.networks.names import Names
from ballproof.networks.sizes import Sizes
from ballproof.operations import registered

if TYPE_CHECKING:
    from torch.fx import Node as Fx

Part = TypeVar("Part")
SKIPPED = ("aten._assert", "aten.sym_constrain")


class Walk:
    """Translates call by call. A call of constants alone becomes a constant; the others go through their translator.

    Law: every node's shape is checked against the shape that the exporter found for it.
    """

    def __init__(self, builder: GraphBuilder, like: Tensor, sizes: Sizes) -> None:
        self.builder, self.like, self.sizes = builder, like, sizes
        self.constants = Constants(builder, like, sizes)
        self.aliases = Aliases()
        self.found: dict[Fx, object] = {}

    def enter_input(self, node: Fx) -> None:
        self.found[node] = Ref(self.builder.input)

    def enter_constant(self, node: Fx, value: Tensor, name: str, live: bool) -> None:
        self.found[node] = self.constants.give(value, name, live)

    def run(self, nodes: Iterable[Fx]) -> None:
        for node in nodes:
            if node.op == "call_function" and not str(node.target).startswith(SKIPPED):
                self.found[node] = self._node(node)

    def _node(self, node: Fx) -> object:
        label, source = Names.of(node)
        try:
            return self._translated(node, label, source)
        except UnsupportedError as error:
            raise UnsupportedError(_located(str(error), label, source, str(node.target))) from error

    def _translated(self, node: Fx, label: str, source: str) -> object:
        if self.sizes.is_number(node):
            return self.sizes.number(node)
        if target_name(node) == "getitem":
            return self.found[node.args[0]][node.args[1]]  # type: ignore[index]
        self.aliases.check(node)
        arguments = bound_arguments(node, self._resolved)
        _check_readable(node, arguments)
        found = self._value(node, arguments, label, source)
        self._check(node, found)
        for changed in self.aliases.enter(node):
            self.found[changed] = found
        return found

    def _value(self, node: Fx, arguments: dict[str, object], label: str, source: str) -> object:
        refs = [*refs_of(arguments.values()), *(m.ref for m in parts_of(arguments.values(), Masked))]
        for changed in self.aliases.mutated(node):
            if self.found[changed] in self.constants.given:
                what = f"changes `{self.found[changed]}` in place"
                raise UnsupportedError(f"{what}; supported: a forward without side effects")
        if self.constants.handles(node, any(self.builder.nodes[r].varies for r in refs)):
            return self.constants.value(node, arguments, refs, label, source)
        if not self.constants.endless.isdisjoint(refs) and target_name(node) not in TAKE_MASKED:
            raise UnsupportedError("reads a constant that holds -infinity; supported: masks that are added before a softmax")
        translator = TRANSLATORS.get(target_name(node))
        if translator is None:
            raise UnsupportedError(_unknown(node))
        result = [self.sizes.per_example(v) for v in _values(node)]
        own, function = self.constants.given, cast("Callable[..., Any]", node.target)
        return translator(Site(self.builder, arguments, result, label, source, self.like, own, function))

    def _resolved(self, value: object) -> object:
        """An argument of the call with the nodes replaced by what they became."""
        if isinstance(value, list | tuple):
            return [self._resolved(v) for v in value]
        return self.found.get(value) if isinstance(value, torch.fx.Node) else value

    def _check(self, node: Fx, found: object) -> None:
        """Our shapes are the exporter's; a difference would be a wrong translator, so nothing is answered."""
        refs = found if isinstance(found, list) else [found]
        for given, value in zip(refs, _values(node), strict=True):
            if isinstance(given, Unmodelled):
                continue
            ref = given.ref if isinstance(given, Masked) else given
            ours = self.builder.shape(ref)
            if self.builder.nodes[ref].varies and ours != self.sizes.per_example(value):
                raise UnsupportedError(f"read as shape {ours}, but torch says {tuple(value.shape)}; please report it")


def bound_arguments(node: Fx, resolved: Callable[[object], object]) -> dict[str, object]:
    """The arguments of a call by the names of its schema, defaults filled in; empty for what has no schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(k): resolved(a) for k, a in enumerate(node.args)}
    bound: dict[str, object] = {}
    for index, argument in enumerate(schema.arguments):
        given = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name, argument.default_value)
        bound[argument.name] = resolved(given)
    return bound


def _check_readable(node: Fx, arguments: dict[str, object]) -> None:
    for unmodelled in parts_of(arguments.values(), Unmodelled):
        raise UnsupportedError(f"reads {unmodelled}, which is not modelled; supported: the values")
    for masked in parts_of(arguments.values(), Masked):
        if target_name(node) not in TAKE_MASKED:
            raise UnsupportedError(f"reads {masked}; supported: masks that are added or filled in just before a softmax")


def refs_of(values: Iterable[object]) -> Iterable[Ref]:
    return parts_of(values, Ref)


def parts_of(values: Iterable[object], kind: type[Part]) -> Iterable[Part]:
    """The values of this kind, also those in lists."""
    for value in values:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, list):
            yield from parts_of(value, kind)


def target_name(node: Fx) -> str:
    """`aten.add.Tensor`, also for the in-place `aten.add_.Tensor`."""
    target: Any = node.target
    name = str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))
    return re.sub(r"^(aten\.[a-z]\w*?)_+\.", r"\1.", name)


def _values(node: Fx) -> list[Tensor]:
    value = node.meta["val"]
    return list(value) if isinstance(value, list | tuple) else [value]


def _unknown(node: Fx) -> str:
    if "set_grad" in str(node.target):
        return "torch.no_grad in the forward is not modelled; supported: the same calls without it"
    known, called = sorted({t.split(".")[1] for t in TRANSLATORS}), str(node.target).removeprefix("aten.").split(".")[0]
    near = difflib.get_close_matches(called.strip("_"), known, 3)
    hint = f" (near: {', '.join(near)})" if near else ""
    return (
        f"operation {node.target} is not modelled{hint}; supported: {', '.join(registered())}; to add one, write one "
        "file in ballproof/operations/ and one translator in ballproof/networks/aten/"
    )


def _located(message: str, label: str, source: str, target: str) -> str:
    at = f" ({source})" if source else ""
    message = message if message.startswith("node `") else f"node `{label}`{at}: {message}"
    return message if target in message else f"{message} [{target}]"
