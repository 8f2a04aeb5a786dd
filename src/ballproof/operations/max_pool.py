"""max_pool(x): the largest element of each window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.base import Argument, Nonlinear, Shape, Slope
from ballproof.operations.registry import register
from ballproof.values import Interval, Line, Relaxation

FORWARD = (F.max_pool1d, F.max_pool2d, F.max_pool3d)


@register
@dataclass(frozen=True)
class MaxPool(Nonlinear):
    """Maxima over windows in one, two or three dimensions, as in torch.

    Slopes of its lines stand on the windows' elements, `(batch, *output, elements)`. Let a be the element with the
    largest lower end. Below: max >= x_a. Above: x_a itself if no other element can exceed it, else the constant
    max_k u_k. With parallel lines: max <= x_a + b for b = max(0, max_{k != a} (u_k - l_a)), since x_k - x_a <= u_k - l_a.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def forward(self, *inputs: Tensor) -> Tensor:
        call = FORWARD[len(self.kernel) - 1]
        return call(inputs[0], self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)

    def interval(self, *inputs: Argument) -> Interval:
        (x,) = inputs
        assert isinstance(x, Interval)
        return Interval(self.forward(x.lower), self.forward(x.upper))

    def windows(self, x: Tensor) -> Tensor:
        """The elements of every window, `(batch, *output, elements)`; padding is filled with a copy of an element."""
        index, output = window_index(self, tuple(x.shape[1:]))
        return x.flatten(1).index_select(1, index.to(x.device)).reshape(x.shape[0], *output, -1)

    def relax(self, *inputs: Argument, slope: Slope) -> Relaxation:
        (x,) = inputs
        assert isinstance(x, Interval)
        lower, upper = self.windows(x.lower), self.windows(x.upper)
        best = lower.argmax(-1, keepdim=True)
        chosen = torch.zeros_like(lower).scatter(-1, best, 1.0)
        place = self.windows_place(x.lower).expand(lower.shape)
        copies = place == place.gather(-1, best)
        others = upper.masked_fill(copies, -torch.inf).amax(-1)
        low = lower.gather(-1, best).squeeze(-1)
        below = Line((chosen,), torch.zeros_like(low))
        if isinstance(slope, str) and slope == "parallel":
            return Relaxation(below, Line((chosen,), (others - low).clamp(min=0)), parallel=True)
        settled = others <= low
        above = chosen * settled.unsqueeze(-1)
        return Relaxation(below, Line((above,), torch.where(settled, torch.zeros_like(low), upper.amax(-1))))

    def windows_place(self, x: Tensor) -> Tensor:
        """The flat place of every window's elements, `(1, *output, elements)`."""
        index, output = window_index(self, tuple(x.shape[1:]))
        return index.to(x.device).reshape(1, *output, -1)

    def unsettled(self, *inputs: Argument) -> tuple[Tensor, ...]:
        (x,) = inputs
        assert isinstance(x, Interval)
        return (x.lower < x.upper,)

    def pull_slopes(self, cotangent: Tensor, slopes: tuple[Tensor, ...], shapes: tuple[Shape, ...]) -> tuple[Tensor, ...]:
        index, _ = window_index(self, shapes[0])
        spread = (cotangent.unsqueeze(-1) * slopes[0]).flatten(2)
        pulled = spread.new_zeros(*spread.shape[:2], torch.Size(shapes[0]).numel())
        return (pulled.index_add(2, index.to(spread.device), spread).reshape(*spread.shape[:2], *shapes[0]),)


@lru_cache(maxsize=256)
def window_index(pool: MaxPool, shape: Shape) -> tuple[Tensor, Shape]:
    """The flat places of the elements of every window, and the shape of the output.

    A place in the padding is replaced by a real element of the same window, which changes no maximum.
    """
    channels, *sizes = shape
    places = torch.arange(torch.Size(sizes).numel(), dtype=torch.float64).reshape(1, *sizes)
    output = tuple(pool.forward(places).shape[1:])
    axes = []
    for n, count, k, s, p, d in zip(sizes, output, pool.kernel, pool.stride, pool.padding, pool.dilation, strict=True):
        at = torch.arange(count).unsqueeze(1) * s - p + torch.arange(k) * d
        real = (at >= 0) & (at < n)
        first = at.where(real, torch.full_like(at, n)).amin(1, keepdim=True)
        axes.append(torch.where(real, at, first))
    flat = torch.zeros((1,) * (2 * len(sizes)), dtype=torch.long)
    for i, (at, n) in enumerate(zip(axes, sizes, strict=True)):
        shaped = [1] * (2 * len(sizes))
        shaped[i], shaped[len(sizes) + i] = at.shape
        flat = flat * n + at.reshape(shaped)
    flat = flat.expand(*output, *pool.kernel).reshape(*output, -1)
    each = torch.arange(channels).reshape(-1, *(1 for _ in flat.shape)) * torch.Size(sizes).numel()
    return (each + flat).flatten(), (channels, *output)
