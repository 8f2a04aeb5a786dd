"""One node of a graph."""

from __future__ import annotations

from dataclasses import dataclass

from ballproof.operations import Operation, Role


@dataclass(frozen=True)
class Node:
    """A named value. `operation` is None for the input and for the constants that are given, not computed.

    shape: without the batch axis where the node varies; the whole shape where it is constant.
    source: where the user wrote it, for messages.
    """

    name: str
    operation: Operation | None
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    role: Role
    source: str = ""

    @property
    def varies(self) -> bool:
        """Depends on the region's input."""
        return self.role is not Role.CONSTANT
