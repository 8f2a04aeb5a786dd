"""From ATen calls to the operations of ballproof: one translator a call, found by itself like the operations."""

from __future__ import annotations

import importlib
import pkgutil

from ballproof.networks.aten.table import TRANSLATORS, translates

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["TRANSLATORS", "translates"]
