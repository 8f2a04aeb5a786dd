"""What a share of n examples says of the source that they are a sample of."""

from __future__ import annotations

from ballproof.report.section import Headline, Kind, percent

SAMPLE = (
    "95 % intervals (Clopper and Pearson) are about other examples of the same source, if these are an independent sample of "
    "it; of these examples themselves the numbers are exact."
)


def interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a binomial probability, if a `share` of `n` independent draws hit.

    Source: Clopper & Pearson 1934.
    """
    from scipy.special import betaincinv

    hits, tail = round(share * n), (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - tail))
    return low, high


def accuracy(name: str, share: float | None, n: int, kind: Kind, meaning: str) -> Headline:
    """A share of n examples with its interval."""
    ends = None if share is None or n < 1 else interval(share, n)
    return Headline(name, percent(share), kind, meaning, share, ends)
