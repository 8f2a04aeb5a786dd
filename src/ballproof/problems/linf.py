"""`Linf`: every coordinate may move by eps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ballproof.problems.boxlike import Boxlike
from ballproof.problems.centered import Centered


@dataclass(frozen=True, eq=False, repr=False)
class Linf(Centered, Boxlike):
    """All x of the valid range with |x - center| <= eps in every coordinate; eps may differ from pixel to pixel."""

    norm: ClassVar[str] = "linf"
    per_pixel: ClassVar[bool] = True

    @property
    def even(self) -> bool:
        """Whether all coordinates of an example move by the same, uncut by a valid range."""
        return self.clip is None and self.reach[:1].numel() <= 1
