"""Translators of ONNX operators into canonical operations, one function each."""

from ballproof.networks.onnx_operators import (
    arithmetic,
    choices,
    constants,
    layers,
    matrices,
    places,
    pooling,
    reductions,
    resize,
    shapes,
    smooth,
)
from ballproof.networks.onnx_operators.table import TRANSLATORS, translated

__all__ = [
    "TRANSLATORS",
    "arithmetic",
    "choices",
    "constants",
    "layers",
    "matrices",
    "places",
    "pooling",
    "reductions",
    "resize",
    "shapes",
    "smooth",
    "translated",
]
