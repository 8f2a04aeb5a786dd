"""What a page says of one run, as values: the same for HTML, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What stands behind a number; the value is what to tell people. A page never shows a number without it."""

    PROVEN = "proof, up to float rounding"
    RIGOROUS = "proof, rounding included"
    PROBABLE = "holds with a stated probability"
    ATTACKED = "attack: an upper bound"
    FOUND = "counterexample, evaluated again"
    MEASURED = "measured"
    ESTIMATED = "estimate: proves nothing"


@dataclass(frozen=True)
class Headline:
    """told: the number as people read it. number: its value, None where it was not measured. interval: 95 %, of a share."""

    name: str
    told: str
    kind: Kind
    meaning: str
    number: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """Cells are text; the first column names its row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: str = ""


@dataclass(frozen=True)
class Figure:
    """title: what the picture shows, for those who do not see it. table: the same as numbers. plain: keeps its own colours."""

    title: str
    svg: str
    words: str
    table: Table | None = None
    plain: bool = False


@dataclass(frozen=True)
class Twin:
    """An example and its adversarial twin. Pictures are data addresses, empty where the inputs are no images."""

    group: str
    told: str
    verdict: str
    good: bool
    label: int
    twin_prediction: int
    pictures: dict[str, str]


@dataclass(frozen=True)
class Section:
    """A run: what was asked (`facts`, terms and texts), what came out, how to get it again. data: raw numbers, for JSON."""

    name: str
    command: str
    lead: str
    facts: tuple[tuple[str, str], ...] = ()
    headlines: tuple[Headline, ...] = ()
    figures: tuple[Figure, ...] = ()
    twins: tuple[Twin, ...] = ()
    tables: tuple[Table, ...] = ()
    reproduce: tuple[tuple[str, str], ...] = ()
    cited: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


def adversary(norm: str, eps: float, clip: Sequence[float] | bool | None) -> tuple[str, str]:
    """The fact that says what the adversary may do. clip: the valid range, True for [0, 1], nothing for the plain ball."""
    low, high = (0.0, 1.0) if isinstance(clip, bool) else clip or (0.0, 1.0)
    cut = f"cut with the valid range [{low:g}, {high:g}]" if clip else "not cut with any range"
    if norm == "box":
        return "Adversary", f"any point of a box in which no coordinate moves by more than {eps:g} (units of the data), {cut}"
    return "Adversary", f"any point of the {norm} ball of radius {eps:g} ({unit(norm)}) round an input, {cut}"


def unit(norm: str) -> str:
    """The unit of a radius."""
    return "pixels" if norm == "l0" else "units of the data"


def percent(share: float | None) -> str:
    """A share of 1 as people read it."""
    return "not measured" if share is None else f"{100 * share:.2f} %"
