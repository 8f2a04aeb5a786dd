"""The common part of the balls: a center, a radius, a valid range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.problems.checks import Clip, floating, radius, valid_range
from ballproof.problems.region import Region
from ballproof.values import Interval


@dataclass(frozen=True, eq=False)
class Centered(Region):
    """A ball of radius `eps` round `center (batch, *input)`, cut with the valid range `clip=(low, high)`, or not at all.

    eps and clip are in the units of the input. eps: a number, or `(batch,)`; for `Linf` also a radius for each pixel.
    clip: numbers or tensors that broadcast to the input. A center outside the range is refused. Afterwards `eps` is a
    tensor that broadcasts to the center.
    """

    center: Tensor
    eps: float | Tensor
    clip: Clip | None = None
    per_pixel: ClassVar[bool] = False

    def __post_init__(self) -> None:
        floating("center", self.center)
        object.__setattr__(self, "eps", radius(self.eps, self.center, self.per_pixel, type(self).__name__))
        object.__setattr__(self, "clip", valid_range(self.clip, self.center))

    @property
    def like(self) -> Tensor:
        return self.center

    @property
    def reach(self) -> Tensor:
        """eps as a tensor that broadcasts to the center."""
        assert isinstance(self.eps, Tensor)
        return self.eps

    def __getitem__(self, index: list[int] | Tensor | slice) -> Self:
        return type(self)(self.center[index], self.reach[index], self._ends(index))

    def _ends(self, index: list[int] | Tensor | slice) -> Clip | None:
        """The valid range of some examples; only a range with a batch axis of its own has to be cut."""
        if self.clip is None:
            return None
        ends = (torch.as_tensor(c) for c in self.clip)
        whole = tuple(e[index] if e.ndim == self.center.ndim and len(e) == self.batch > 1 else e for e in ends)
        return whole[0], whole[1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        move = {"device": device, "dtype": dtype}
        clip = None if self.clip is None else tuple(torch.as_tensor(c).to(**move) for c in self.clip)  # type: ignore[call-overload]
        return type(self)(self.center.to(**move), self.reach.to(**move), clip)  # type: ignore[call-overload, arg-type]

    def box(self) -> Interval:
        return Interval(self.cut(self.center - self.reach), self.cut(self.center + self.reach))

    def cut(self, x: Tensor) -> Tensor:
        """`x` moved into the valid range."""
        if self.clip is None:
            return x
        low, high = (torch.as_tensor(c, dtype=x.dtype, device=x.device) for c in self.clip)
        return torch.minimum(torch.maximum(x, low), high)
