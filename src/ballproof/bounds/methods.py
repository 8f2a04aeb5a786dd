"""The methods by name: settings that say which lines and which intermediate intervals. They hold no tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from ballproof.errors import InputError


@dataclass(frozen=True)
class IntervalMethod:
    """Interval bounds (Gowal et al. 2018): cheapest and loosest."""


@dataclass(frozen=True)
class ZonotopeMethod:
    """Affine arithmetic from the input to the output with parallel lines (Singh et al. 2018, DeepZ).

    The same numbers as `dual`, from the other end: cheap where the input has few coordinates.
    """


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
class AlphaMethod:
    """CROWN whose free slopes are optimised for the queries (Xu et al. 2021), the best of all steps kept.

    A step goes uphill by each gradient's share of the largest one that its slope had. rate: of the first step, in units of the
    spread of the slopes worth trying; each next one is `decay` times it. intermediate: the intervals that the lines stand on:
    `crown` ones, `interval` ones, or the `same` optimisation for every neuron that is not settled, in `inner` steps that fall
    by `inner_decay`. shared: one set of slopes for all queries of an example, not one for each. stop: bounds above it are
    tight enough (0 for margins of a verdict); None optimises all to the end.
    """

    steps: int = 20
    inner: int = 3
    rate: float = 0.7
    decay: float = 0.8
    inner_decay: float = 0.6
    intermediate: Literal["crown", "interval", "same"] = "crown"
    shared: bool = False
    stop: float | None = None

    def __post_init__(self) -> None:
        falls = (self.decay, self.inner_decay)
        if min(self.steps, self.inner) < 1 or not self.rate > 0 or not all(0 < d <= 1 for d in falls):
            raise InputError(f"{self}: expected steps and inner >= 1, rate > 0 and 0 < decay, inner_decay <= 1")


@dataclass(frozen=True)
class LPMethod:
    """The triangle linear program (Ehlers 2017) on the intermediate intervals of another method; solved by HiGHS.

    intermediate: `lp` solves a program for both ends of every neuron that is not settled (Salman et al. 2019): the limit of
    the methods with one line a side and a neuron.
    """

    intermediate: Literal["dual", "crown", "interval", "lp"] = "crown"


@dataclass(frozen=True)
class SDPMethod:
    """The semidefinite relaxation (Raghunathan et al. 2018b); its value is proven from its multipliers.

    steps: of the first-order solver, where the conic one is too large.
    """

    steps: int = 300


@dataclass(frozen=True)
class Intersection:
    """The tightest of several methods, query by query; its name joins theirs, as in `zonotope+crown`."""

    methods: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.methods) < 2:
            raise InputError(f"an intersection of {self.methods}; expected two methods or more")
        for name in self.methods:
            method_named(name)


Method = IntervalMethod | ZonotopeMethod | LinearMethod | AlphaMethod | LPMethod | SDPMethod | Intersection

METHODS: dict[str, Method] = {
    "interval": IntervalMethod(),
    "zonotope": ZonotopeMethod(),
    "dual": LinearMethod("parallel", intersect=False),
    "crown": LinearMethod("adaptive"),
    "dual-interval": LinearMethod("parallel", intermediate="interval"),
    "crown-interval": LinearMethod("adaptive", intermediate="interval"),
    "alpha": AlphaMethod(),
    "alpha-all": AlphaMethod(intermediate="same"),
    "lp": LPMethod(),
    "lp-all": LPMethod("lp"),
    "sdp": SDPMethod(),
}
"""`dual` is Algorithm 1 of Wong & Kolter 2018 to the letter; the `-interval` ones query only the last layer."""

ALIASES = {
    "ibp": "interval",
    "deepz": "zonotope",
    "ai2": "zonotope",
    "fast-lin": "dual",
    "wong-kolter": "dual",
    "convex-adversarial": "dual",
    "deeppoly": "crown",
    "crown-ibp": "crown-interval",
    "alpha-crown": "alpha",
    "planet": "lp",
    "triangle": "lp",
    "convex-barrier": "lp-all",
}
"""The names of papers and programs, by method."""

TRAINABLE = ("interval", "dual", "crown", "dual-interval", "crown-interval")
"""The methods whose bounds have gradients to the network's parameters."""


def method_named(method: str | Method) -> Method:
    """The settings behind a name, an alias or names joined by `+`; an unknown one raises `InputError` with the nearest."""
    if not isinstance(method, str):
        return method
    if "+" in method:
        return Intersection(tuple(part.strip() for part in method.split("+")))
    name = ALIASES.get(method, method)
    if name not in METHODS:
        near = get_close_matches(method, [*METHODS, *ALIASES], 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`method` is {method!r}, expected one of {', '.join(METHODS)}{hint}")
    return METHODS[name]


def stopping(method: str | Method, stop: float) -> Method:
    """The method, told that bounds above `stop` are tight enough where it can use that."""
    found = method_named(method)
    return replace(found, stop=stop) if isinstance(found, AlphaMethod) else found
