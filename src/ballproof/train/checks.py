"""What a setting may be: kinds, words, points of a schedule; each refusal is one line that names the setting."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from ballproof.errors import InputError


def checked_keys(settings: Mapping[str, Any], known: set[str], where: str) -> dict[str, Any]:
    """The settings with tuples for lists; an unknown key raises `InputError` with the nearest valid one."""
    for key in settings:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise InputError(f"unknown key `{key}` in {where}{hint}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a word"),
}
"""By a setting's annotation: what a value may be, and how that is told."""


def of_kind(name: str, value: Any, kind: str) -> None:
    """Refuses a value of another kind.

    kind: the annotation of the setting, one of `KINDS`, or `tuple[float, ...]`.
    """
    several = kind.startswith("tuple")
    types, told = KINDS["float" if several else kind]
    values = value if several and isinstance(value, (tuple, list)) else [value]
    right = all(isinstance(v, types) and (bool in types or not isinstance(v, bool)) for v in values)
    if not right or (several and values is not value):
        raise InputError(f"`{name}` is {value!r}, expected {'a list of numbers' if several else told}")


def points_that_grow(name: str, points: Any) -> None:
    """Refuses what is not a list of (epoch, value) with epochs that grow."""
    lists = isinstance(points, (list, tuple)) and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in points)
    if not lists or not points:
        raise InputError(f"`schedule.{name}` is {points!r}, expected a list of [epoch, value]")
    epochs = [p[0] for p in points]
    for epoch in epochs:
        of_kind(f"schedule.{name}", epoch, "float")
    if not all(a < b for a, b in pairwise(epochs)) or not all(0 <= e < float("inf") for e in epochs):
        raise InputError(f"`schedule.{name}` has epochs {epochs}, expected ones that grow from 0 or more")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuses a word that is not allowed, with the nearest that is."""
    if value not in allowed:
        near = get_close_matches(value, allowed, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise InputError(f"`{name}` is {value!r}, expected one of {', '.join(allowed)}{hint}")
