"""Checks of the settings that attacks share, so that each is refused by name before anything is computed."""

from __future__ import annotations

import math

from ballproof.attacks.goal import LOSSES
from ballproof.errors import InputError


def whole(name: str, value: object, least: int) -> None:
    """Raises `InputError` unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"`{name}` must be a whole number of at least {least}, got {value!r}")


def positive(name: str, value: object) -> None:
    """Raises `InputError` unless `value` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InputError(f"`{name}` must be a finite number above 0, got {value!r}")


def fraction(name: str, value: object) -> None:
    """Raises `InputError` unless `value` is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise InputError(f"`{name}` must be a number in [0, 1), got {value!r}")


def known_loss(value: object) -> None:
    """Raises `InputError` unless `value` is one of `LOSSES`."""
    if value not in LOSSES:
        raise InputError(f"`loss` must be one of {', '.join(LOSSES)}, got {value!r}")
