"""The noises, each with the ball that it certifies and the radius for a lower bound of the top class's probability.

Every `around` makes one independent draw for each row; every `radius` takes pB = 1 - pA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Protocol

import torch
from scipy.special import ndtri
from torch import Tensor

from ballproof.data import Dataset
from ballproof.errors import InputError

LARGEST = 1e30
"""Of noise, so that no draw overflows float32."""


class Noise(Protocol):
    """norm: of the ball. around: `(n, *input)` to `(n, *seen)`, one draw a row, from a generator on the CPU alone."""

    @property
    def norm(self) -> str: ...
    def around(self, x: Tensor, generator: torch.Generator) -> Tensor: ...
    def seen(self, x: Tensor) -> Tensor: ...
    def radius(self, p_lower: float, shape: tuple[int, ...]) -> float: ...


@dataclass(frozen=True)
class Gaussian:
    """Independent normal noise of standard deviation `sigma` on every coordinate: radii in L2.

    If the top class has probability above `p_lower` > 1/2 it stays the top class at every distance below
    `sigma * Phi^-1(p_lower)` (Cohen, Rosenfeld & Kolter 2019, Theorem 1 with pB = 1 - pA).
    """

    sigma: float
    norm: ClassVar[str] = "l2"

    def __post_init__(self) -> None:
        _positive("sigma", self.sigma)

    def around(self, x: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty(x.shape, dtype=_drawn(x)).normal_(generator=generator)
        return torch.add(x, noise.to(x.device), alpha=self.sigma).to(x.dtype)

    def seen(self, x: Tensor) -> Tensor:
        """Noiseless inputs as the network gets them: as they are."""
        return x

    def radius(self, p_lower: float, shape: tuple[int, ...]) -> float:
        return self.sigma * float(ndtri(p_lower))


@dataclass(frozen=True)
class Uniform:
    """Uniform noise on [-width, width] on every coordinate: radii in L1.

    The two cubes round x and x + d share `prod max(0, 1 - |d_i| / (2 width)) >= 1 - |d|_1 / (2 width)` of their volume, so no
    probability changes by more than `|d|_1 / (2 width)`: it stays above 1/2 below `2 width (p_lower - 1/2)` (Yang et al. 2020).
    """

    width: float
    norm: ClassVar[str] = "l1"

    def __post_init__(self) -> None:
        _positive("width", self.width)

    def around(self, x: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty(x.shape, dtype=_drawn(x)).uniform_(-self.width, self.width, generator=generator)
        return (x + noise.to(x.device)).to(x.dtype)

    def seen(self, x: Tensor) -> Tensor:
        """Noiseless inputs as the network gets them: as they are."""
        return x

    def radius(self, p_lower: float, shape: tuple[int, ...]) -> float:
        return 2 * self.width * (p_lower - 0.5)


@dataclass(frozen=True)
class Ablation:
    """`keep` pixels, every set of them equally likely; the network sees no other: radii in L0, numbers of pixels.

    A pixel is a place of an image `(channels, height, width)`, all its channels, or a coordinate of a vector. The network gets
    twice the channels, `(x, 1 - x)` where a pixel is kept and zeros where it is not, so black and absent differ.
    Changing r of d pixels changes what is seen with probability `1 - C(d - r, keep) / C(d, keep)`; the radius is the largest r
    for which p_lower minus that exceeds 1/2, in exact rationals (Levine & Feizi 2020).
    """

    keep: int
    norm: ClassVar[str] = "l0"

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise InputError(f"`keep` is {self.keep}, expected at least one pixel")

    def around(self, x: Tensor, generator: torch.Generator) -> Tensor:
        pixels = self._pixels(tuple(x.shape[1:]))
        order = torch.rand(len(x), pixels, dtype=torch.float64, generator=generator)  # 53 bits: ties are out of the question
        kept = torch.zeros(len(x), pixels, dtype=x.dtype).scatter_(1, order.topk(self.keep, 1).indices, 1.0)
        whole = self.seen(x)
        places = whole.flatten(2) if x.ndim > 2 else whole.unflatten(1, (2, -1))
        return (places * kept.to(x.device)[:, None]).reshape(whole.shape)

    def seen(self, x: Tensor) -> Tensor:
        """Inputs with nothing ablated, as the network gets them: `(n, 2 * channels, ...)`."""
        return torch.cat([x, 1 - x], 1)

    def radius(self, p_lower: float, shape: tuple[int, ...]) -> float:
        d, room = self._pixels(shape), Fraction(p_lower) - Fraction(1, 2)
        whole, found = math.comb(d, self.keep), 0
        while found < d and 1 - Fraction(math.comb(d - found - 1, self.keep), whole) < room:
            found += 1
        return float(found)

    def _pixels(self, shape: tuple[int, ...]) -> int:
        pixels = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
        if self.keep > pixels:
            raise InputError(f"`keep` is {self.keep}, and an input of shape {shape} has {pixels} pixels")
        return pixels


def named_noise(kind: str, sigma: float | None = None, width: float | None = None, keep: int | None = None) -> Noise:
    """`gaussian` with sigma, `uniform` with width, `ablation` with keep; a size of another noise is refused."""
    own = {"gaussian": "sigma", "uniform": "width", "ablation": "keep"}
    sizes = {"sigma": sigma, "width": width, "keep": keep}
    if kind not in own:
        raise InputError(f"`noise` is {kind!r}, expected one of {', '.join(own)}")
    for name, value in sizes.items():
        if (value is not None) != (name == own[kind]):
            raise InputError(f"`noise` is {kind}: it takes `{own[kind]}`; `{name}` is {value}")
    if keep is not None:
        return Ablation(keep)
    return Gaussian(sigma) if sigma is not None else Uniform(width or 0.0)


def seen_by(noise: Noise, data: Dataset) -> Dataset:
    """The first example as the network gets it: for what is built or checked by its shape."""
    one = data.subset([0])
    return replace(one, inputs=noise.seen(one.inputs))


def _drawn(x: Tensor) -> torch.dtype:
    """The type of the noise, never coarser than float32: rounding the sum is then part of the network, not of the noise."""
    return torch.promote_types(x.dtype, torch.float32)


def _positive(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LARGEST:
        raise InputError(f"`{name}` is {value!r}, expected a finite number > 0, in the units of the data")
