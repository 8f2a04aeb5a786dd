"""Walkers that prove bounds and know no operation."""

from ballproof.bounds.face import bound, lower_bounds, margins
from ballproof.bounds.memory import Budget
from ballproof.bounds.methods import METHODS, IntervalMethod, LinearMethod, LPMethod, Method

__all__ = ["METHODS", "Budget", "IntervalMethod", "LPMethod", "LinearMethod", "Method", "bound", "lower_bounds", "margins"]
