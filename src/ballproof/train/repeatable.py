"""Equal settings give equal bits, with several threads as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

MEMORY: Any = deterministic
"""Its settings are properties of the module, which types do not know."""


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Within it torch adds in an order of its own on a CPU, where the threads of an indexed sum add as they come otherwise.

    Four gradients of `dual` on the same batch by two threads were four different ones without it. Not on a GPU, where some sums
    have no such order. Memory that nobody wrote yet is not filled, as torch would do besides.
    """
    if device != "cpu":
        yield
        return
    before, filled = torch.are_deterministic_algorithms_enabled(), MEMORY.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    MEMORY.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        MEMORY.fill_uninitialized_memory = filled
