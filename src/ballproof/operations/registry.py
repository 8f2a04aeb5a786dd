"""The registry of operations, filled by the files of this folder when they are imported."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T", bound=type)
_OPERATIONS: dict[str, type] = {}


def register(operation: T) -> T:
    """Enter an operation under its class name; a second one of the same name is refused."""
    name = operation.__name__
    if name in _OPERATIONS:
        raise TypeError(f"operation `{name}` is registered twice: {_OPERATIONS[name].__module__}, {operation.__module__}")
    _OPERATIONS[name] = operation
    return operation


def registered() -> dict[str, type]:
    """Every operation by name, in alphabetical order: what the law suite walks."""
    return dict(sorted(_OPERATIONS.items()))
