"""The common part of the balls: a center, a radius, a valid range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from ballproof.problems.checks import Clip, Index, floating, radius, rows, valid_range
from ballproof.problems.region import Region
from ballproof.values import Interval


@dataclass(frozen=True, eq=False, repr=False)
class Centered(Region):
    """A ball of radius `eps` round `center (batch, *input)`, cut with the valid range `clip=(low, high)` or not at all.

    All in the units of the model's input (pixels in [0, 1]: eps=8/255). eps: a number, or `(batch,)`, a radius for
    each example; for `Linf` also a radius for each pixel, as `checks.radius` says. clip: numbers, or tensors that
    broadcast to the input. A center outside the range is refused; one that is out by rounding (1e-6) is moved in.
    Afterwards `eps` is a tensor that broadcasts to the center, and `clip` two tensors.
    """

    center: Tensor
    eps: float | Tensor
    clip: Clip | None = None
    per_pixel: ClassVar[bool] = False

    def __post_init__(self) -> None:
        floating("center", self.center)
        object.__setattr__(self, "eps", radius(self.eps, self.center, self.per_pixel, type(self).__name__))
        object.__setattr__(self, "clip", valid_range(self.clip, self.center))
        if self.clip is None:
            return
        moved = self.cut(self.center.detach())
        if not torch.equal(moved, self.center):
            object.__setattr__(self, "center", torch.where(moved == self.center, self.center, moved))

    def __repr__(self) -> str:
        name, most = type(self).__name__, float(self.reach.detach().max()) if self.reach.numel() else 0.0
        told = f"batch={self.batch}, input={self.shape}, eps{'<=' if bool((self.reach < most).any()) else '='}{most:g}"
        return f"{name}({told}, clip={'no' if self.clip is None else 'yes'})"

    @property
    def like(self) -> Tensor:
        return self.center

    @property
    def reach(self) -> Tensor:
        """eps as a tensor that broadcasts to the center."""
        assert isinstance(self.eps, Tensor)
        return self.eps

    @property
    def ends(self) -> tuple[Tensor, Tensor] | None:
        """The ends of the valid range as tensors that broadcast to the center."""
        if self.clip is None:
            return None
        low, high = self.clip
        assert isinstance(low, Tensor) and isinstance(high, Tensor)
        return low, high

    def __getitem__(self, index: Index) -> Self:
        return type(self)(self.center[rows(index)], self.reach[rows(index)], self._ends(index))

    def _ends(self, index: Index) -> Clip | None:
        """The valid range of some examples; only a range with a batch axis of its own has to be cut."""
        if self.ends is None:
            return None
        low, high = (e[index] if e.ndim == self.center.ndim and len(e) == self.batch > 1 else e for e in self.ends)
        return low, high

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        center, eps = (t.to(device=device, dtype=dtype) for t in (self.center, self.reach))
        if self.ends is None:
            return type(self)(center, eps)
        low, high = (t.to(device=device, dtype=dtype) for t in self.ends)
        return type(self)(center, eps, (low, high))

    def box(self) -> Interval:
        return Interval(self.cut(self.center - self.reach), self.cut(self.center + self.reach))

    def cut(self, x: Tensor) -> Tensor:
        """`x` moved into the valid range."""
        if self.ends is None:
            return x
        return torch.minimum(torch.maximum(x, self.ends[0]), self.ends[1])
