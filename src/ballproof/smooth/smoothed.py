"""`Smoothed`: the classifier that answers what a network answers most often under noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ballproof.errors import InputError
from ballproof.graph import Graph
from ballproof.smooth.binomial import check_draws, lower_end, top_two_p_value
from ballproof.smooth.draws import BATCH, check_steady, counted, generator_for
from ballproof.smooth.noise import Gaussian, Noise


@dataclass(frozen=True)
class SmoothedPrediction:
    """With probability at least 1 - alpha over the draws, `label` is the smoothed classifier's answer or None (abstained).

    counts: answers of the n draws by class. p_value: of the two-sided test that the top two are equally likely.
    """

    label: int | None
    counts: tuple[int, ...]
    p_value: float
    n: int
    alpha: float
    seed: int
    index: int


@dataclass(frozen=True)
class SmoothedRadius:
    """With probability at least 1 - alpha over the draws: the smoothed classifier answers `label` below `radius`. No proof.

    radius: in `norm` and the units of the input (pixels for l0, that number included); 0 where label is None (abstained).
    guess: the class that counts0 chose. p_lower: Clopper & Pearson's lower end for it from counts. dimension: of the input.
    """

    label: int | None
    radius: float
    norm: str
    guess: int
    p_lower: float
    counts0: tuple[int, ...]
    counts: tuple[int, ...]
    n0: int
    n: int
    alpha: float
    seed: int
    index: int
    dimension: int

    def converted(self, norm: str) -> float:
        """The radius of the largest ball of another norm inside this one: a conversion, weaker than a radius of its own.

        From l2: r in l1, r / sqrt(d) in linf. From l1: r / sqrt(d) in l2, r / d in linf. None of l0.
        """
        power = {"l2": {"l2": 0.0, "l1": 0.0, "linf": 0.5}, "l1": {"l1": 0.0, "l2": 0.5, "linf": 1.0}, "l0": {"l0": 0.0}}
        if norm not in power[self.norm]:
            raise InputError(f"`norm` is {norm!r}: an {self.norm} radius converts to {', '.join(power[self.norm])} only")
        return self.radius / math.pow(self.dimension, power[self.norm][norm])


@dataclass(frozen=True, eq=False)
class Smoothed:
    """The class that `network` gives most often on noisy copies of an input; it has radii with a probability, never proofs.

    noise: `Gaussian(sigma)` (l2), `Uniform(width)` (l1), `Ablation(keep)` (l0), or a number: sigma of Gaussian noise.
    classes: how many the network must have; None for any. batch: noisy copies at once; the draws do not depend on it.
    network: a function of one input, in evaluation mode; a random one is refused. Source: Cohen, Rosenfeld & Kolter 2019.
    """

    network: nn.Module | Graph
    noise: Noise | float
    classes: int | None = None
    batch: int = BATCH

    def __post_init__(self) -> None:
        if isinstance(self.noise, (int, float)):
            object.__setattr__(self, "noise", Gaussian(self.noise))
        if self.batch < 1:
            raise InputError(f"`batch` is {self.batch}, expected at least 1")

    def predict(self, x: Tensor, n: int = 1000, alpha: float = 0.001, seed: int = 0, index: int = 0) -> SmoothedPrediction:
        """The answer at x, or None: wrong with probability at most alpha over the n draws (Cohen et al. 2019, PREDICT).

        x: one input, without a batch axis. index: of the example; seed and index decide the draws. Price: n passes.
        """
        check_draws(n, alpha, sides=2)
        noise = self._checked(x)
        counts = counted(self.network, noise, x, n, generator_for(seed, index), self.batch, self.classes)
        order = counts.sort(descending=True, stable=True)
        most, second = [*order.values.tolist(), 0][:2]
        p_value = top_two_p_value(most, second)
        label = int(order.indices[0]) if p_value <= alpha else None
        return SmoothedPrediction(label, tuple(counts.tolist()), p_value, n, alpha, seed, index)

    def certify(
        self, x: Tensor, n0: int = 100, n: int = 10_000, alpha: float = 0.001, seed: int = 0, index: int = 0
    ) -> SmoothedRadius:
        """A radius at x, or an abstention: wrong with probability at most alpha over the draws (Cohen et al. 2019, CERTIFY).

        x: one input, without a batch axis. n0 draws choose the class, n others bound its probability. index: of the example;
        seed and index decide the draws, so a radius can be drawn again. Price: n0 + n passes.
        """
        if n0 < 1:
            raise InputError(f"`n0` is {n0}, expected at least 1 draw to choose the class")
        check_draws(n, alpha)
        noise, generator = self._checked(x), generator_for(seed, index)
        counts0 = counted(self.network, noise, x, n0, generator, self.batch, self.classes)
        counts = counted(self.network, noise, x, n, generator, self.batch, self.classes)
        guess = int(counts0.argmax())
        p_lower = lower_end(int(counts[guess]), n, alpha)
        sure = p_lower > 0.5
        return SmoothedRadius(
            label=guess if sure else None,
            radius=noise.radius(p_lower, tuple(x.shape)) if sure else 0.0,
            norm=noise.norm,
            guess=guess,
            p_lower=p_lower,
            counts0=tuple(counts0.tolist()),
            counts=tuple(counts.tolist()),
            n0=n0,
            n=n,
            alpha=alpha,
            seed=seed,
            index=index,
            dimension=x.numel(),
        )

    def _checked(self, x: Tensor) -> Noise:
        assert not isinstance(self.noise, (int, float))
        if not x.is_floating_point() or x.ndim < 1:
            raise InputError(f"`x` is {x.dtype} of shape {tuple(x.shape)}, expected one input of floating-point numbers")
        check_steady(self.network, self.noise, x, self.classes)
        return self.noise
