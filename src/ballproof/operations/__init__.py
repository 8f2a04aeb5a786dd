"""One file per operation: its forward, its facts and its rules. The folder is discovered: there is no second list."""

from __future__ import annotations

import importlib
import pkgutil

from ballproof.operations.base import Affine, Nonlinear, Operation, Role
from ballproof.operations.registry import registered

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Affine", "Nonlinear", "Operation", "Role", "registered"]
