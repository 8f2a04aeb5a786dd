"""A ball by the name of its norm."""

from __future__ import annotations

from difflib import get_close_matches

from torch import Tensor

from ballproof.errors import UnsupportedError
from ballproof.problems.centered import Centered
from ballproof.problems.checks import Clip
from ballproof.problems.l0 import L0
from ballproof.problems.l1 import L1
from ballproof.problems.l2 import L2
from ballproof.problems.linf import Linf

BALLS: dict[str, type[Centered]] = {"linf": Linf, "l2": L2, "l1": L1, "l0": L0}


def ball(norm: str, center: Tensor, eps: float | Tensor, clip: Clip | None = None) -> Centered:
    """`Linf`, `L2`, `L1` or `L0` of these settings; an unknown norm is refused with the nearest name."""
    if norm not in BALLS:
        near = get_close_matches(str(norm).lower(), BALLS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise UnsupportedError(f"`norm` is {norm!r}, expected one of {', '.join(BALLS)}{hint}")
    return BALLS[norm](center, eps, clip)
