"""Radii over a data set: one row an example, streamed to the run folder, and totals."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ballproof.data import Dataset
from ballproof.errors import InputError
from ballproof.evaluate import results
from ballproof.evaluate.rows import Examples, collected
from ballproof.runs import TOTALS, Run
from ballproof.smooth.binomial import check_draws
from ballproof.smooth.smoothed import Smoothed
from ballproof.spread import HERE, Row, Rows, Work, Workers

TSV = "results.tsv"


@dataclass(frozen=True)
class Draws:
    """How many draws an example gets, and how often a statement on it may be wrong. joint: on the whole table at once.

    n0: draws that choose the class (`certify` alone). The stream of an example is decided by seed and its index.
    """

    n: int
    alpha: float = 0.001
    n0: int = 100
    seed: int = 0
    joint: bool = False

    def each(self, examples: int) -> float:
        """The alpha of one example: with `joint` alpha divided by their number (Bonferroni)."""
        return self.alpha / examples if self.joint else self.alpha

    def check(self, examples: int, sides: int) -> None:
        """Refuses what no example could be decided with, before anything is written."""
        if self.n0 < 1 or self.seed < 0:
            raise InputError(f"`n0` is {self.n0} and `seed` is {self.seed}, expected >= 1 and >= 0")
        check_draws(self.n, self.alpha, sides)
        check_draws(self.n, self.each(examples), sides)


def certify_rows(
    smoothed: Smoothed,
    data: Dataset,
    draws: Draws,
    run: Run | None,
    watch: Callable[[int], None],
    workers: Workers = HERE,
) -> Sequence[Row]:
    """One row an example; each holds with probability at least 1 - alpha_each over its draws.

    Keys: index, label, prediction (the guess of n0 draws), correct, abstained, certified (correct and not abstained), radius
    (0 where abstained), norm, p_lower, counts0, counts, n0, n, alpha, seed, seconds. With a run, rows that are there are kept.
    An example that memory runs out on is abstained from, with `reason`.
    """
    draws.check(len(data), 1)
    return collected(Certifying(smoothed, draws, draws.each(len(data))), data, 1, run, watch, workers)


def predict_rows(
    smoothed: Smoothed,
    data: Dataset,
    draws: Draws,
    run: Run | None,
    watch: Callable[[int], None],
    workers: Workers = HERE,
) -> Sequence[Row]:
    """One row an example: index, label, prediction (None where abstained), correct, counts, p_value and the settings."""
    draws.check(len(data), 2)
    return collected(Predicting(smoothed, draws, draws.each(len(data))), data, 1, run, watch, workers)


@dataclass(frozen=True, eq=False)
class Certifying(Work[Examples]):
    """The radius of one example, wrong with probability at most alpha; its draws depend on the seed and its index alone."""

    smoothed: Smoothed
    draws: Draws
    alpha: float

    def rows(self, item: Examples) -> Rows:
        started, draws, index = time.perf_counter(), self.draws, item.index[0]
        smoothed = replace(self.smoothed, batch=max(1, self.smoothed.batch // item.parts))
        found = smoothed.certify(item.x[0], draws.n0, draws.n, self.alpha, draws.seed, index)
        label, correct = int(item.y[0]), found.guess == int(item.y[0])
        told: Row = {"index": index, "label": label, "prediction": found.guess, "correct": correct}
        told |= {"abstained": found.label is None, "certified": correct and found.label is not None, "radius": found.radius}
        told |= {"norm": found.norm, "p_lower": found.p_lower, "counts0": list(found.counts0), "counts": list(found.counts)}
        told |= {"n0": found.n0, "n": found.n, "alpha": found.alpha, "seed": found.seed, "reason": ""}
        return [{**told, "seconds": time.perf_counter() - started}]

    def smaller(self, item: Examples) -> list[Examples]:
        return item.smaller()

    def given_up(self, item: Examples, reason: str) -> Rows:
        assert not isinstance(self.smoothed.noise, (int, float))
        told: Row = {"index": item.index[0], "label": int(item.y[0]), "prediction": None, "correct": False, "abstained": True}
        told |= {
            "certified": False,
            "radius": 0.0,
            "norm": self.smoothed.noise.norm,
            "p_lower": 0.0,
            "counts0": [],
            "counts": [],
        }
        told |= {"n0": self.draws.n0, "n": self.draws.n, "alpha": self.alpha, "seed": self.draws.seed}
        return [{**told, "reason": reason, "seconds": 0.0}]


@dataclass(frozen=True, eq=False)
class Predicting(Certifying):
    """The answer at one example, or none."""

    def rows(self, item: Examples) -> Rows:
        started, draws, index = time.perf_counter(), self.draws, item.index[0]
        smoothed = replace(self.smoothed, batch=max(1, self.smoothed.batch // item.parts))
        found = smoothed.predict(item.x[0], draws.n, self.alpha, draws.seed, index)
        told: Row = {"index": index, "label": int(item.y[0]), "prediction": found.label}
        told["correct"] = found.label == int(item.y[0])
        told |= {"abstained": found.label is None, "counts": list(found.counts), "p_value": found.p_value}
        told |= {"n": found.n, "alpha": found.alpha, "seed": found.seed, "reason": ""}
        return [{**told, "seconds": time.perf_counter() - started}]

    def given_up(self, item: Examples, reason: str) -> Rows:
        told: Row = {"index": item.index[0], "label": int(item.y[0]), "prediction": None, "correct": False, "abstained": True}
        told |= {"counts": [], "p_value": 1.0, "n": self.draws.n, "alpha": self.alpha, "seed": self.draws.seed}
        return [{**told, "reason": reason, "seconds": 0.0}]


def totals(rows: Sequence[Row], radii: Sequence[float]) -> dict[str, Any]:
    """Fractions of all examples; an example that abstained is certified at no radius.

    certified_accuracy: share of examples with the right class and a radius of at least each of `radii`. clean_accuracy: share
    whose guess is right, abstentions included. average_certified_radius: 0 for those not certified.
    """
    n = max(1, len(rows))
    certified = {f"{r:g}": sum(row["certified"] and row["radius"] >= r for row in rows) / n for r in radii}
    told: dict[str, Any] = {"n": len(rows), "clean_accuracy": sum(row["correct"] for row in rows) / n}
    told |= {"abstained": sum(row["abstained"] for row in rows) / n, "certified_accuracy": certified}
    told["average_certified_radius"] = sum(row["radius"] for row in rows if row["certified"]) / n
    return told | {"seconds": sum(row["seconds"] for row in rows)}


def write_rows(run: Run, rows: Sequence[Row], told: dict[str, Any], draws: Draws) -> None:
    """The rows as other commands leave them, and as results.tsv (lists joined by commas); results.json (the totals)."""
    results.write_rows(run, rows)
    with run.writing(TSV) as file:
        text = io.TextIOWrapper(file, newline="", write_through=True)
        writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n", extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows({k: ",".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()} for row in rows)
        text.detach()
    run.write_json(TOTALS, {**told, "settings": asdict(draws)})
