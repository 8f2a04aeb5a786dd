"""Memory that a step frees is kept for the next one."""

from __future__ import annotations

import torch

LARGEST = 31 << 20
"""Bytes; the C library learns from freed blocks below 32 MiB alone."""


def keep_freed() -> None:
    """Have the C library of Linux keep freed memory; else it is handed back after every step and taken again page by page.

    glibc keeps up to twice the largest block that was mapped and freed, so one is. A small network's step by lines on one
    thread had 1,100 page faults before and 1 after, and a tenth of its time went into them. Nothing happens elsewhere.
    """
    torch.empty(LARGEST, dtype=torch.uint8)
