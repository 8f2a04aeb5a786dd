"""The memory budget: how many queries travel at once, and what happens when the device says no."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

LIVE_COPIES = 6
"""Tensors of the widest node's size that one pull-back holds at once: two cotangents, their parts, and the workspace."""

DEFAULT_BYTES = 512 * 2**20
CACHE_BYTES = 12 * 2**20
"""More at once is slower on a CPU: `crown` on WK-small takes 0.16 s at 10, 0.19 at 16 and 0.20 at 24 MiB."""

_PARTS: ContextVar[int] = ContextVar("parts", default=1)


@contextmanager
def divided_memory(parts: int) -> Iterator[None]:
    """Inside, every budget is divided by `parts`: for what has failed with the whole of it."""
    former = _PARTS.set(parts)
    try:
        yield
    finally:
        _PARTS.reset(former)


@dataclass(frozen=True)
class Budget:
    """Working memory for bounds, in bytes. The answers do not depend on it, only the time does.

    Under autograd the saved tensors come on top.
    """

    limit: int | None = None

    @property
    def bytes(self) -> int:
        return (DEFAULT_BYTES if self.limit is None else self.limit) // _PARTS.get()

    def queries(self, batch: int, widest: int, dtype: torch.dtype, times: int = 1) -> int:
        """How many queries of a batch fit at once; at least one. times: how many times the cache's size they may take."""
        room = min(self.bytes, times * CACHE_BYTES)
        return max(1, room // (LIVE_COPIES * max(1, batch) * widest * dtype.itemsize))

    def examples(self, widest: int, dtype: torch.dtype, queries: int = 64) -> int:
        """How many examples fit at once if each is to have room for some queries; at least one."""
        return max(1, self.bytes // (LIVE_COPIES * queries * widest * dtype.itemsize))

    def over_queries(
        self, ask: Callable[[Tensor], T], queries: Tensor, batch: int, widest: int, dtype: torch.dtype, times: int = 1
    ) -> list[T]:
        """`ask` on slices of axis 1 that fit; a slice for which the device has no memory is halved and asked again."""
        chunk, start, answers = self.queries(batch, widest, dtype, times), 0, []
        while start < queries.shape[1]:
            try:
                answers.append(ask(queries[:, start : start + chunk]))
                start += chunk
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise
                chunk = (chunk + 1) // 2
        return answers
