"""A problem of a folder in whose midst a process hangs; in a module that other processes can import."""

from __future__ import annotations

import ctypes
from typing import Any

from ballproof.evaluate.vnncomp import Deciding, Instance


class Hanging(Deciding):
    def rows(self, item: Instance) -> list[dict[str, Any]]:
        ctypes.PyDLL(None).sleep(100)
        return []
