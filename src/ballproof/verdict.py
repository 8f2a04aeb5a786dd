"""Verdicts: verified, falsified, unknown, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import Tensor


class Status(Enum):
    """The three outcomes; the value is what to tell people."""

    VERIFIED = "proven on the whole region"
    FALSIFIED = "a counterexample was found and checked"
    UNKNOWN = "neither proven nor refuted"


@dataclass(frozen=True, eq=False)
class Verdict:
    """An outcome with its evidence.

    bound: the proven lower bound of the worst margin, or the margin at the counterexample. counterexample: `(*input)`,
    only for `falsified`. reason: only and always for `unknown`. A verdict is never true or false by itself.
    """

    status: Status
    bound: float
    method: str
    reason: str = ""
    counterexample: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.status is Status.FALSIFIED) != (self.counterexample is not None):
            raise ValueError("a falsified verdict has a counterexample, and no other has one")
        if (self.status is Status.UNKNOWN) != bool(self.reason):
            raise ValueError("an unknown verdict says why, and no other does")

    @property
    def verified(self) -> bool:
        return self.status is Status.VERIFIED

    @property
    def falsified(self) -> bool:
        return self.status is Status.FALSIFIED

    @property
    def unknown(self) -> bool:
        return self.status is Status.UNKNOWN

    def __bool__(self) -> bool:
        raise TypeError("a verdict has three outcomes: ask for .verified, .falsified or .unknown")

    def __str__(self) -> str:
        told = f"{self.status.name.lower()} by {self.method}: {self.status.value} (margin {self.bound:.4g})"
        return f"{told}; {self.reason}" if self.reason else told
