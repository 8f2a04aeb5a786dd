"""Walkers that prove bounds and know no operation."""

from ballproof.bounds.face import LinearBounds, bound, linear_bounds, lower_bounds, margins
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import (
    ALIASES,
    METHODS,
    TRAINABLE,
    AlphaMethod,
    Intersection,
    IntervalMethod,
    LinearMethod,
    LPMethod,
    Method,
    SDPMethod,
    ZonotopeMethod,
    method_named,
    stopping,
)

__all__ = [
    "ALIASES",
    "METHODS",
    "TRAINABLE",
    "AlphaMethod",
    "Budget",
    "Intersection",
    "IntervalMethod",
    "LPMethod",
    "LinearBounds",
    "LinearMethod",
    "Method",
    "SDPMethod",
    "ZonotopeMethod",
    "bound",
    "linear_bounds",
    "lower_bounds",
    "margins",
    "method_named",
    "stopping",
]
