"""`Names`: what a user calls a node: the path of the layer, and the line of code that calls it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ballproof.networks.source import user_line

if TYPE_CHECKING:
    from torch.fx import Node as Fx


class Names:
    """`conv1`, `layer1.0.relu` for layers of torch.nn; `layer1.0.add` for calls in a module's own forward.

    Of several calls that a layer makes in a row the last has the layer's name, the others are `conv1.pad` and so on.
    """

    @staticmethod
    def of(node: Fx) -> tuple[str, str]:
        """The label of a node and its source line, `net.py:12` (empty where the user wrote no forward)."""
        return Names.label(node), user_line(node.meta.get("stack_trace"))

    @staticmethod
    def label(node: Fx) -> str:
        path, is_layer = Names.module(node)
        if is_layer and Names.module(node.next)[0] != path:
            return path
        called = str(node.target).removeprefix("aten.").split(".")[0].strip("_")
        return f"{path}.{called}" if path else called

    @staticmethod
    def module(node: Fx) -> tuple[str, bool]:
        """The path of the module that makes the call, and whether it is a layer of torch.nn."""
        stack = list((node.meta.get("nn_module_stack") or {"": ("", "")}).values())
        path, kind = re.sub(r"@\d+", "", stack[-1][0]), str(stack[-1][1])
        return path, bool(path) and kind.startswith("torch.nn.")
