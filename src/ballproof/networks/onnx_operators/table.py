"""The table of translators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ballproof.networks.onnx_operators.site import Site

Translator = Callable[[Site], Any]
TRANSLATORS: dict[str, Translator] = {}
"""A translator returns the name of a graph node, or a NumPy array for a constant, or a tuple of them."""


def translates(*operators: str) -> Callable[[Translator], Translator]:
    """Enter a translator for these operators; a second one for the same operator is refused."""

    def enter(translator: Translator) -> Translator:
        for operator in operators:
            if operator in TRANSLATORS:
                raise TypeError(f"ONNX operator `{operator}` has two translators")
            TRANSLATORS[operator] = translator
        return translator

    return enter
