"""`Constants`: calls that do not depend on the input: fixed ones are computed once, those of parameters stay live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.graph import GraphBuilder
from ballproof.networks.aten.call import Call, Slot
from ballproof.networks.aten.site import Ref
from ballproof.networks.sizes import Sizes, Symbol

if TYPE_CHECKING:
    from torch.fx import Node as Fx

CREATION = {
    f"aten.{name}"
    for name in ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zeros", "ones", "full")
}
"""The result depends on the shapes of the arguments, not on their values."""

ROWWISE = {f"aten.{n}" for n in ("expand", "expand_as", "repeat", "view", "reshape", "add", "sub", "mul", "div", "neg", "cat")}
"""Constant calls that may have the batch as axis 0: every row is the same, so one row, broadcast, is the value."""

SAME = {f"aten.{n}" for n in ("alias", "lift_fresh_copy", "lift_fresh", "clone", "contiguous", "detach_")}
CONVERSIONS = {f"aten.{n}" for n in ("to", "_to_copy", "type_as")}


class Constants:
    """given: the nodes that hold a module's own tensors. fixed: the nodes whose value can never change.

    endless: the nodes that hold -infinity, as masks do.
    """

    def __init__(self, builder: GraphBuilder, like: Tensor, sizes: Sizes) -> None:
        self.builder, self.like, self.sizes = builder, like, sizes
        self.given: set[Ref] = set()
        self.fixed: set[Ref] = set()
        self.endless: set[Ref] = set()
        self.types: dict[Ref, torch.dtype] = {}

    def give(self, value: Tensor, name: str, live: bool) -> Ref:
        """A constant that the module holds; live: it can be changed by training or by hand."""
        ref = Ref(self.builder.constant(value, name))
        (self.given if live else self.fixed).add(ref)
        self.types[ref] = value.dtype
        if value.is_floating_point() and bool((value == float("-inf")).any()):
            self.endless.add(ref)
        return ref

    def handles(self, node: Fx, varies: bool) -> bool:
        return not varies or _name(node) in CREATION

    def value(self, node: Fx, arguments: dict[str, object], refs: list[Ref], label: str, source: str) -> object:
        """The constant node, or nodes, for a call of constants."""
        _refuse_random(node)
        if _is_same(node):
            return refs[0]
        rows = self._rows(node, arguments)
        if _name(node) in CREATION:
            return self._fold(_call(node, arguments, refs), [self._empty(r) for r in refs], label)
        if len({id(v) for v in _values(node)}) > 1:
            picks = range(len(_values(node)))
            return [self._one(_call(node, arguments, refs, k), refs, label, source) for k in picks]
        found = self._one(_call(node, arguments, refs), refs, label, source)
        self.types[found] = node.meta["val"].dtype
        if rows and self.builder.shape(found)[:1] != (1,):
            raise UnsupportedError("a constant whose values depend on the batch size; supported: the same for every example")
        return found

    def _one(self, call: Call, refs: list[Ref], label: str, source: str) -> Ref:
        if set(refs) <= self.fixed:
            return self._fold(call, [self.builder.values[r] for r in refs], label)
        typed = replace(call, types=tuple(self.types.get(r) for r in refs))
        return Ref(self.builder.add(typed, tuple(refs), label, source))

    def _fold(self, call: Call, values: list[Tensor], label: str) -> Ref:
        with torch.no_grad():
            return self.give(call.forward(*values), label, live=False)

    def _empty(self, ref: Ref) -> Tensor:
        """A tensor of the node's shape for one example, for calls that only look at shapes."""
        node = self.builder.nodes[ref]
        return self.like.new_empty((1, *node.shape) if node.varies else node.shape)

    def _rows(self, node: Fx, arguments: dict[str, object]) -> bool:
        """Whether the batch is axis 0 of the result; refuses a constant that uses the batch size in any other way."""
        batched = [v for v in _values(node) if any(type(s) is not int for s in v.shape)]
        if not batched and not any(_symbols(a) for a in arguments.values()) and not self._from_rows(node):
            return False
        whole = all(self.sizes.has_batch(v) for v in _values(node))
        if whole and _name(node) in ROWWISE | CREATION and not _symbol_as_value(arguments):
            return True
        raise UnsupportedError("a constant that depends on the batch size; supported: the same row for every example")

    def _from_rows(self, node: Fx) -> bool:
        tensors = [a.meta["val"] for a in node.all_input_nodes if isinstance(a.meta.get("val"), Tensor)]
        return _name(node) not in CREATION and any(self.sizes.has_batch(t) for t in tensors)


def _call(node: Fx, arguments: dict[str, object], refs: list[Ref], pick: int | None = None) -> Call:
    """The call in its plain form (not in place), the batch size taken as 1."""
    if _name(node) in CONVERSIONS:
        return Call(torch.Tensor.to, (Slot(0), node.meta["val"].dtype))
    target: Any = node.target
    overload = getattr(getattr(torch.ops.aten, _name(node).split(".")[1]), target._overloadname)
    plain = {k: _template(v, refs) for k, v in arguments.items()}
    kinds = {a.name: a.kwarg_only for a in target._schema.arguments}
    keywords = tuple((k, v) for k, v in plain.items() if kinds[k] and k != "out")
    return Call(overload, tuple(v for k, v in plain.items() if not kinds[k]), keywords, pick)


def _template(value: object, refs: list[Ref]) -> object:
    if isinstance(value, Ref):
        return Slot(refs.index(value))
    if isinstance(value, Symbol):
        return 1
    return tuple(_template(v, refs) for v in value) if isinstance(value, list) else value


def _name(node: Fx) -> str:
    """`aten.add` of `aten.add_.Tensor`."""
    name = ".".join(str(node.target).split(".")[:2])
    return name if name in SAME else name.rstrip("_")


def _is_same(node: Fx) -> bool:
    """The call gives its first argument, as far as values go."""
    if _name(node) in CONVERSIONS:
        before = node.all_input_nodes[0].meta["val"]
        return bool(before.dtype == node.meta["val"].dtype)
    return _name(node) in SAME


def _refuse_random(node: Fx) -> None:
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags or _name(node).startswith(("aten.empty", "aten.new_empty")):
        raise UnsupportedError("a random or uninitialised value; supported: a network that is a function of its input")
    if not isinstance(node.target, torch._ops.OpOverload) or node.target.namespace != "aten":
        raise UnsupportedError(f"operation {node.target} of constants is not modelled; supported: plain torch calls")


def _symbols(value: object) -> bool:
    return isinstance(value, Symbol) or (isinstance(value, list) and any(_symbols(v) for v in value))


def _symbol_as_value(arguments: dict[str, object]) -> bool:
    """A number of the batch's size is used as a value, not as a size; or it is not the batch size itself."""
    listed = [v for a in arguments.values() if isinstance(a, list) for v in a]
    other = any(isinstance(v, Symbol) and not v.batch for v in listed)
    return other or any(isinstance(a, Symbol) for a in arguments.values())


def _values(node: Fx) -> list[Tensor]:
    value = node.meta["val"]
    return list(value) if isinstance(value, list | tuple) else [value]
