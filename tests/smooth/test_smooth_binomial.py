"""Clopper-Pearson against scipy's own quantiles and tests, and its coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest, norm

from ballproof.errors import InputError
from ballproof.smooth.binomial import check_draws, lower_end, top_two_p_value
from ballproof.smooth.noise import Gaussian


@pytest.mark.parametrize(("count", "n"), [(1, 10), (7, 10), (99, 100), (100, 100), (9_990, 10_000), (100_000, 100_000)])
@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-6])
def test_the_lower_end_and_the_radius_are_the_papers(count: int, n: int, alpha: float) -> None:
    want = beta.ppf(alpha, count, n - count + 1)
    told = lower_end(count, n, alpha)
    assert told <= want and told == pytest.approx(want, abs=1e-9)
    assert told == pytest.approx(binomtest(count, n, alternative="greater").proportion_ci(1 - alpha, "exact").low, abs=1e-9)
    assert Gaussian(0.25).radius(told, (3,)) == pytest.approx(0.25 * norm.ppf(want), abs=1e-6)


def test_the_whole_alpha_is_spent_on_one_side() -> None:
    for count in range(1, 101):
        assert binom.sf(count - 1, 100, lower_end(count, 100, 0.02)) == pytest.approx(0.02, rel=1e-6)


def test_no_hit_says_nothing() -> None:
    assert lower_end(0, 100, 0.01) == 0.0


@pytest.mark.parametrize(("most", "second"), [(5, 5), (6, 4), (30, 3), (1, 0), (0, 0), (980, 20)])
def test_the_two_sided_test_is_scipys(most: int, second: int) -> None:
    want = binomtest(most, most + second, 0.5).pvalue if most + second else 1.0
    assert top_two_p_value(most, second) == pytest.approx(want, rel=1e-9)


N, CLASSIFIERS = 100, 10_000


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.99])
def test_coverage_over_ten_thousand_classifiers(p: float, alpha: float) -> None:
    """The share of classifiers whose true p lies below the end is at most alpha, by the exact law and by draws.

    The exact miss of an end is the sum of binom(n, p) over the counts whose end exceeds p.
    """
    ends = np.array([lower_end(k, N, alpha) for k in range(N + 1)])
    miss = float(binom.pmf(np.arange(N + 1)[ends > p], N, p).sum())
    assert miss <= alpha
    counts = np.random.default_rng(1).binomial(N, p, CLASSIFIERS)
    missed = int((ends[counts] > p).sum())
    assert missed <= binom.ppf(1 - 1e-6, CLASSIFIERS, alpha)
    assert binom.ppf(1e-6, CLASSIFIERS, miss) <= missed <= binom.ppf(1 - 1e-6, CLASSIFIERS, miss)


def test_an_end_by_walds_formula_would_fail_that_coverage() -> None:
    share = np.arange(N + 1) / N
    wald = share - norm.ppf(0.99) * np.sqrt(share * (1 - share) / N)
    assert binom.pmf(np.arange(N + 1)[wald > 0.99], N, 0.99).sum() > 0.05


@pytest.mark.parametrize(
    ("alpha", "sides", "need"), [(0.001, 1, 10), (1e-310, 2, 1031), (0.5, 1, 2), (0.6, 1, 1), (0.001, 2, 11), (0.05, 2, 6)]
)
def test_too_few_draws_are_refused_with_the_number_that_would_do(alpha: float, sides: int, need: int) -> None:
    check_draws(need, alpha, sides)
    decided = lower_end(need, need, alpha) > 0.5 if sides == 1 else top_two_p_value(need, 0) <= alpha
    less = need - 1
    open_still = less == 0 or (lower_end(less, less, alpha) <= 0.5 if sides == 1 else top_two_p_value(less, 0) > alpha)
    assert decided and open_still
    with pytest.raises(InputError, match=f"at least {need}"):
        check_draws(less, alpha, sides)
