"""What counts of independent draws say of a probability: Clopper-Pearson's lower end, and the test of the top two."""

from __future__ import annotations

import math

from scipy.special import bdtrc, betaincinv

from ballproof.errors import InputError

OUTWARD = 1e-10
"""Relative step outward: larger than the error of scipy's quantile, far smaller than what a draw more or less changes."""


def lower_end(count: int, n: int, alpha: float) -> float:
    """Below the true probability with probability at least 1 - alpha, if `count` of `n` independent draws hit.

    The exact one-sided end of Clopper & Pearson 1934: the p at which `count` or more hits have probability alpha.
    """
    if count == 0:
        return 0.0
    end = float(betaincinv(count, n - count + 1, alpha)) * (1 - OUTWARD)
    while float(bdtrc(count - 1, n, end)) > alpha:
        end *= 1 - OUTWARD
    return end


def top_two_p_value(most: int, second: int) -> float:
    """Of the two-sided binomial test that both classes are equally likely (Hung & Fithian 2019)."""
    both = most + second
    return 1.0 if both == 0 or most == second else min(1.0, 2 * float(bdtrc(most - 1, both, 0.5)))


def check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` is {alpha}, expected a probability strictly between 0 and 1")


def check_draws(n: int, alpha: float, sides: int = 1) -> None:
    """Refuses n where even n hits of n leave the answer open.

    One side: alpha ** (1/n), the lower end of n hits, must exceed 1/2. Two sides: 2 * 2 ** -n must not exceed alpha.
    """
    check_alpha(alpha)
    need = math.floor(-math.log2(alpha)) + 1 if sides == 1 else math.ceil(1 - math.log2(alpha))
    if n < max(1, need):
        why = f"too few for alpha {alpha:g}: even if all draws agree nothing is certified"
        raise InputError(f"`n` is {n}, {why if n >= 1 else 'expected draws'}; take at least {max(1, need)}")
