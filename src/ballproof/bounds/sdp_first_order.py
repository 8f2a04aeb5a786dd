"""Ascent on the value that multipliers prove, for relaxations too large for the interior point method (Dathathri et al. 2020).

The value, -shift - sum max(diagonal + shift, 0) with shift the negative least eigenvalue of S, is concave with kinks where
that eigenvalue is not simple, which is everywhere that matters. So the direction averages the eigenvectors of the least
eigenvalues, with weights that fall off with the distance to the least; Adam takes the steps, goes back to the
best point and halves its steps where they lead nowhere, and the best point is what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ballproof.bounds.program import Array
from ballproof.bounds.sdp_forms import Forms
from ballproof.bounds.sdp_proof import Multipliers, slack


@dataclass(frozen=True)
class FirstOrder:
    """Settings, chosen by trial on nets of 50 and 784 inputs.

    rate: the first step, in units of the mean multiplier of the products at the start, and in units of `lift` times the
    mean of the diagonal; halved, from the best point on, after `patience` steps without a better one. vectors: how many
    eigenvectors are averaged. spread: how far above the least, in means of the diagonal, a weight has fallen to 1/e.
    """

    steps: int = 300
    rate: float = 0.1
    lift: float = 10.0
    patience: int = 25
    vectors: int = 60
    spread: float = 0.1

    def ascend(self, forms: Forms, cost: Array, start: Multipliers) -> Multipliers:
        """The best multipliers seen, the start among them."""
        n, y, mean = forms.size, np.concatenate([start.diagonal, start.products]), _mean(start.diagonal[1:])
        signed = np.concatenate([np.arange(n) > 0, ~forms.equal])
        unit = np.concatenate([np.full(n, mean * self.lift), np.full(len(y) - n, _mean(start.products))])
        best, kept, waited, adam = -np.inf, y, 0, Adam(self.rate * unit)
        for _ in range(self.steps):
            value, ascent = self._ascent(forms, cost, Multipliers(y[:n], y[n:]), mean)
            best, kept, waited = (value, y, 0) if value > best else (best, kept, waited + 1)
            if waited > self.patience:
                y, waited, adam = kept, 0, Adam(adam.rate / 2)
                continue
            y = y + adam.step(ascent)
            y = np.where(signed, np.maximum(y, 0), y)
        return Multipliers(kept[:n], kept[n:])

    def _ascent(self, forms: Forms, cost: Array, y: Multipliers, mean: float) -> tuple[float, Array]:
        """The value, but for rounding, and a direction in which it rises."""
        last = min(self.vectors, forms.size) - 1
        least, vectors = linalg.eigh(slack(forms, cost, y), subset_by_index=[0, last], check_finite=False)
        weights = np.exp((least[0] - least) / (self.spread * mean))
        vectors = vectors * np.sqrt(weights / weights.sum())
        raised = y.diagonal - least[0]
        held = np.where(np.arange(forms.size) == 0, 1.0, raised > 0)
        seen = forms.rows @ vectors
        products = np.einsum("ki,ki->k", seen[forms.left], seen[forms.right])
        ascent = np.concatenate([held.sum() * (vectors**2).sum(1) - held, -held.sum() * products])
        return float(-raised @ held), ascent


class Adam:
    """Kingma & Ba 2015 with its usual constants; `rate` has a length for each coordinate."""

    def __init__(self, rate: Array) -> None:
        self.rate, self.count = rate, 0
        self.first, self.second = np.zeros_like(rate), np.zeros_like(rate)

    def step(self, ascent: Array) -> Array:
        self.count += 1
        self.first = 0.9 * self.first + 0.1 * ascent
        self.second = 0.999 * self.second + 0.001 * ascent**2
        first, second = self.first / (1 - 0.9**self.count), self.second / (1 - 0.999**self.count)
        return self.rate * first / (np.sqrt(second) + 1e-12)


def _mean(values: Array) -> float:
    """The mean of what is not 0; 1 where all is."""
    some = values[values > 0]
    return float(some.mean()) if some.size else 1.0
