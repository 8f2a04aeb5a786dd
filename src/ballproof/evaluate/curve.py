"""Certified and attacked accuracy against eps, on the first examples of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from ballproof.data import Dataset
from ballproof.evaluate.certify import CertifySettings, certify
from ballproof.graph import Graph

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""The radii of the curve, in multiples of the eps that was asked for."""


def accuracy_curve(
    network: nn.Module | Graph,
    data: Dataset,
    settings: CertifySettings,
    limit: int,
    watch: Callable[[int], None] = lambda done: None,
) -> list[dict[str, Any]]:
    """One point for each radius in `STEPS`: eps, n, clean, attacked and certified accuracy of the first `limit` examples.

    What is certified at a radius is certified at every smaller one, and what is broken at a radius is broken at every
    larger one, so both curves are made monotone example by example: that is a proof, not smoothing. Where the method is a
    search the curve is of `crown`, which takes a batch at once. attacked_accuracy is None where nothing was attacked.
    """
    settings = replace(settings, method="crown") if settings.searches else settings
    part = data.subset(list(range(min(limit, len(data.labels)))))
    tables = []
    for scale in STEPS:
        tables.append(certify(network, part, settings=replace(settings, eps=settings.eps * scale)))
        watch(len(tables))
    certified = [[r["certified"] for r in t.rows] for t in tables]
    standing = [[not r["attacked"] for r in t.rows] for t in tables]
    for i in reversed(range(len(STEPS) - 1)):
        certified[i] = [a or b for a, b in zip(certified[i], certified[i + 1], strict=True)]
    for i in range(1, len(STEPS)):
        standing[i] = [a and b for a, b in zip(standing[i], standing[i - 1], strict=True)]
    n = max(1, len(part.labels))
    return [
        {
            "eps": t.settings.eps,
            "n": len(part.labels),
            "clean_accuracy": t.totals["clean_accuracy"],
            "attacked_accuracy": sum(s) / n if settings.attacks else None,
            "certified_accuracy": sum(c) / n,
        }
        for t, c, s in zip(tables, certified, standing, strict=True)
    ]
