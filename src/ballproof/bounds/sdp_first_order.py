"""Ascent on the value that multipliers prove, for relaxations too large for the interior point method (Dathathri et al. 2020).

The value, -shift - sum max(diagonal + shift, 0) with shift the negative least eigenvalue of S, is concave with kinks where
that eigenvalue is not simple, which is everywhere that matters. So the direction averages the eigenvectors of the least
eigenvalues, with weights that fall off with the distance to the least; Adam takes the steps, and the best point is kept.
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
    """rate: the first step, in units of the mean multiplier of the products at the start, and in units of `lift` times the
    mean of the diagonal; it falls to `last` of that, geometrically. vectors: how many eigenvectors are averaged; spread: how
    far above the least, in means of the diagonal, a weight has fallen to 1/e. Chosen by trial on two nets (50 and 784 inputs).
    """

    steps: int = 300
    rate: float = 0.2
    last: float = 0.1
    lift: float = 10.0
    vectors: int = 40
    spread: float = 0.1

    def ascend(self, forms: Forms, cost: Array, start: Multipliers) -> Multipliers:
        """The best multipliers seen, the start among them."""
        n, y = forms.size, np.concatenate([start.diagonal, start.products])
        signed = np.concatenate([np.arange(n) > 0, ~forms.equal])
        mean = _mean(start.diagonal[1:])
        unit = np.concatenate([np.full(n, mean * self.lift), np.full(len(y) - n, _mean(start.products))])
        first, second, best, kept = np.zeros_like(y), np.zeros_like(y), -np.inf, y
        for step in range(self.steps):
            share = step / max(1, self.steps - 1)
            value, ascent = self._ascent(forms, cost, Multipliers(y[:n], y[n:]), mean)
            if value > best:
                best, kept = value, y
            first, second = 0.9 * first + 0.1 * ascent, 0.999 * second + 0.001 * ascent**2
            length = self.rate * self.last**share * unit / (1 - 0.9 ** (step + 1))
            y = y + length * first / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-12)
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


def _mean(values: Array) -> float:
    """The mean of what is not 0; 1 where all is."""
    some = values[values > 0]
    return float(some.mean()) if some.size else 1.0
