"""Translators of ONNX operators into canonical operations: one function each, found by themselves like the operations."""

from __future__ import annotations

import importlib
import pkgutil

from ballproof.networks.onnx_operators.table import TRANSLATORS, translated

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["TRANSLATORS", "translated"]
