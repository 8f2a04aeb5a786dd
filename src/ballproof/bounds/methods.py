"""The methods by name: settings that say which lines and which intermediate intervals. They hold no tensor."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ballproof.errors import InputError


@dataclass(frozen=True)
class IntervalMethod:
    """Interval bounds (Gowal et al. 2018): cheapest and loosest."""


@dataclass(frozen=True)
class LinearMethod:
    """Bounds by the dual network: lines pulled back to the region (Wong & Kolter 2018, Zhang et al. 2018).

    slope: `parallel` (Wong & Kolter, Fast-Lin) or `adaptive` (CROWN, DeepPoly).
    intermediate: the intervals that the lines stand on, from the `same` method or from the `interval` pass alone.
    intersect: cut every interval with the interval pass, so that it is never looser.
    """

    slope: Literal["parallel", "adaptive"]
    intermediate: Literal["same", "interval"] = "same"
    intersect: bool = True


@dataclass(frozen=True)
class LPMethod:
    """The triangle linear program (Ehlers 2017) on the intermediate intervals of another method; solved by HiGHS."""

    intermediate: Literal["dual", "crown", "interval"] = "crown"


Method = IntervalMethod | LinearMethod | LPMethod

METHODS: dict[str, Method] = {
    "interval": IntervalMethod(),
    "dual": LinearMethod("parallel", intersect=False),
    "crown": LinearMethod("adaptive"),
    "dual-interval": LinearMethod("parallel", intermediate="interval"),
    "crown-interval": LinearMethod("adaptive", intermediate="interval"),
    "lp": LPMethod(),
}
"""`dual` is Algorithm 1 of Wong & Kolter 2018 to the letter; the `-interval` ones query only the last layer."""


def method_named(method: str | Method) -> Method:
    """The settings behind a name; an unknown name raises `InputError` with the nearest one."""
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        near = get_close_matches(method, METHODS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`method` is {method!r}, expected one of {', '.join(METHODS)}{hint}")
    return METHODS[method]
