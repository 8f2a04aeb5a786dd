"""A transposed convolution with a stride, phase by phase: what lands on every s-th cell is a plain convolution.

Libraries are slow at the transposed one on a CPU; one plain convolution onto the channels of all phases replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from ballproof.operations.window import Window

FEW = 16
"""Up to so many channels it is 1.2 to 1.5 times faster than the library's, on one core in float32; at 64 half as fast."""

Pair = tuple[int, ...]


def pays(cotangent: Tensor, weight: Tensor, stride: Pair, dilation: Pair, groups: int) -> bool:
    """Whether to go phase by phase: a stride, few channels, neither dilation nor groups, and no gradient (dearer so)."""
    plain = cotangent.ndim == 4 and groups == 1 and set(dilation) == {1}
    learns = torch.is_grad_enabled() and (cotangent.requires_grad or weight.requires_grad)
    return plain and min(stride) > 1 and weight.shape[1] <= FEW and not learns


def transposed(cotangent: Tensor, weight: Tensor, stride: Pair, padding: Pair, size: Pair) -> Tensor:
    """The transposed convolution of `cotangent (n, out, *cells)` with `weight (out, in, *kernel)`, `(n, in, *size)`.

    Differentiable. Cell `m s + r` of the whole takes from cell `m - t` what the kernel has at `t s + r`.
    """
    met = _met(weight, stride)
    kernel, reach = _kernel(weight, stride, met)
    sent = F.conv2d(cotangent, kernel, None, 1, [t - 1 for t in reach]).permute(0, 2, 3, 1)
    first = [[-(-(p - r) // s) for r in range(s)] for p, s in zip(padding, stride, strict=True)]
    into = [[m * s + r - p for r, m in enumerate(f)] for f, p, s in zip(first, padding, stride, strict=True)]
    wanted = [[-(-(n - q) // s) for q in i] for i, n, s in zip(into, size, stride, strict=True)]
    given = [[c - m for m in f] for f, c in zip(first, sent.shape[1:3], strict=True)]
    reached = all(w <= g for ws, gs in zip(wanted, given, strict=True) for w, g in zip(ws, gs, strict=True))
    covered = reached and met == tuple(stride)
    make = cotangent.new_empty if covered else cotangent.new_zeros
    whole = make(len(cotangent), *size, weight.shape[1])
    for number, phase in enumerate(product(*(range(m) for m in met))):
        count = [min(w[r], g[r]) for w, g, r in zip(wanted, given, phase, strict=True)]
        rows, columns = (slice(f[r], f[r] + n) for f, r, n in zip(first, phase, count, strict=True))
        place = (slice(i[r], i[r] + (n - 1) * s + 1, s) for i, r, n, s in zip(into, phase, count, stride, strict=True))
        if min(count) > 0:
            whole[(slice(None), *place)] = sent[:, rows, columns, number * weight.shape[1] : (number + 1) * weight.shape[1]]
    return whole.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Apart:
    """The argument of a convolution with the cells of each phase as channels of their own: there its stride is 1.

    What is only added up over the argument needs no other order, and nothing is written to every s-th cell. Channels are
    ordered by phase; phases that the kernel does not meet are left out.
    """

    weight: Tensor
    stride: Pair
    padding: Pair

    @property
    def phases(self) -> Pair:
        """Down and across."""
        return _met(self.weight, self.stride)

    def pull(self, cotangent: Tensor) -> Tensor:
        """The coefficients `(n, phases * in, *cells + reach - 1)` of the argument from those of windows of the output."""
        kernel, reach = _kernel(self.weight, self.stride, self.phases)
        return F.conv2d(cotangent, kernel, None, 1, [t - 1 for t in reach])

    def maps(self, whole: Tensor) -> Tensor:
        """Maps `(batch, in, *size)` of the argument, `(batch, phases * in, *size / stride)`; outside the map are zeros."""
        before, steps = self.padding, self.stride
        after = [-(n + p) % s for n, p, s in zip(whole.shape[2:], before, steps, strict=True)]
        padded = F.pad(whole, (before[1], after[1], before[0], after[0]))
        high, wide = (n // s for n, s in zip(padded.shape[2:], steps, strict=True))
        cells = padded.reshape(*whole.shape[:2], high, steps[0], wide, steps[1]).permute(0, 3, 5, 1, 2, 4)
        down, across = self.phases
        return cells[:, :down, :across].reshape(len(whole), -1, high, wide)

    def window(self, window: Window) -> Window:
        """The window of the argument, in this order, that a window of the output sees."""
        reach = tuple(-(-k // s) for k, s in zip(self.weight.shape[2:], self.stride, strict=True))
        channels = self.weight.shape[1] * self.phases[0] * self.phases[1]
        return window.through(channels, reach, (1, 1), (0, 0))  # type: ignore[arg-type]


def _met(weight: Tensor, stride: Pair) -> Pair:
    """How many phases, down and across, the kernel meets."""
    return tuple(min(s, k) for s, k in zip(stride, weight.shape[2:], strict=True))


def _kernel(weight: Tensor, stride: Pair, phases: Pair) -> tuple[Tensor, Pair]:
    """The taps of each of the first phases, turned round: `(phases * in, out, *reach)`, and their reach."""
    out, channels, *size = weight.shape
    reach = tuple(-(-k // s) for k, s in zip(size, stride, strict=True))
    after = [t * s - k for t, s, k in zip(reach, stride, size, strict=True)]
    padded = F.pad(weight, (0, after[1], 0, after[0])).reshape(out, channels, reach[0], stride[0], reach[1], stride[1])
    kernel = padded.flip(2, 4).permute(3, 5, 1, 0, 2, 4)[: phases[0], : phases[1]].reshape(-1, out, *reach)
    return kernel.contiguous(memory_format=torch.channels_last), reach
