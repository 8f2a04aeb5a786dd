"""`Aliases`: in-place calls. The changed tensor is followed; whoever still holds an old view of it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ballproof.errors import UnsupportedError

if TYPE_CHECKING:
    from torch.fx import Node as Fx

SAME_OBJECT = (
    "aten.dropout.",
    "aten.feature_dropout.",
    "aten.alpha_dropout.",
    "aten.feature_alpha_dropout.",
    "getitem",
)
"""Calls that may give back their own argument although their schema does not say so."""


class Aliases:
    """Groups the calls that share memory: a view belongs to the group of what it views."""

    def __init__(self) -> None:
        self._group: dict[Fx, set[Fx]] = {}
        self._stale: dict[Fx, Fx] = {}

    def check(self, node: Fx) -> None:
        """Refuse a call that reads a tensor whose memory another name has changed."""
        for argument in node.all_input_nodes:
            if argument in self._stale:
                raise UnsupportedError(
                    f"reads `{argument.name}` after `{self._stale[argument].name}` changed its memory in place; "
                    "supported: in-place calls on a tensor that is not used under another name (use the plain form)"
                )

    def enter(self, node: Fx) -> list[Fx]:
        """Enter a call; gives the earlier calls whose value it replaces in place."""
        shared = [a for a in node.all_input_nodes if a in shared_arguments(node)]
        group = self._of(shared[0]) if shared else set()
        changed = self.mutated(node)
        for other in group if changed else ():
            if other not in changed:
                self._stale[other] = node
        group.add(node)
        self._group[node] = group
        return changed

    def mutated(self, node: Fx) -> list[Fx]:
        """The arguments that the call changes."""
        return [a for a, info in _annotated(node) if info.is_write and "detach_" not in str(node.target)]

    def _of(self, node: Fx) -> set[Fx]:
        return self._group.setdefault(node, {node})


def shared_arguments(node: Fx) -> list[Fx]:
    """The arguments whose memory the result may share."""
    if str(node.target).startswith(SAME_OBJECT) or getattr(node.target, "__name__", "") == "getitem":
        return list(node.all_input_nodes)
    return [a for a, _ in _annotated(node)]


def _annotated(node: Fx) -> list[tuple[Fx, Any]]:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    pairs = [(a, s.alias_info) for a, s in zip(node.args, schema.arguments, strict=False)]
    return [(a, info) for a, info in pairs if info is not None and hasattr(a, "all_input_nodes")]  # type: ignore[misc]
