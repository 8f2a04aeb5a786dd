"""The sections of randomized smoothing: statements that hold with a probability, never proofs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ballproof.evaluate.rows import ROWS
from ballproof.report.radii import smoothed_chart
from ballproof.report.sample import SAMPLE, accuracy
from ballproof.report.section import Figure, Headline, Kind, Section, Table, percent
from ballproof.report.times import time_figures, time_headline
from ballproof.runs import TOTALS, Run
from ballproof.train.loop import LOG


def smoothed(run: Run) -> Section:
    """Of `smooth certify` and `smooth predict`."""
    command, asked = run.config["command"], run.config["settings"]
    what = (
        "Radii in which the smoothed classifier's answer stays"
        if command == "smooth certify"
        else "Answers of the smoothed classifier"
    )
    lead = f"{what}, on {asked['n_examples']} examples of {asked['data']} ({asked['split']}). No proof: a probability."
    if not run.has(TOTALS):
        return Section(run.path.name, command, lead + " Not finished.")
    totals, rows = run.read_json(TOTALS), run.rows(ROWS)
    facts = (
        ("Network", str(asked["model"]) + (f" behind the denoiser {asked['denoiser']}" if asked.get("denoiser") else "")),
        ("Noise", totals["noise"]),
        ("Each statement", f"holds with probability {totals['probability']}"),
        ("Draws", f"{totals['draws']} an example, seed {totals['seed']}"),
        ("Intervals", SAMPLE),
    )
    headlines = (*_headlines(totals), time_headline(rows, "all draws together"))
    figures = (*_radii(totals, rows), *time_figures(rows))
    return Section(run.path.name, command, lead, facts, headlines, figures, data={"totals": totals})


def _headlines(totals: dict[str, Any]) -> tuple[Headline, ...]:
    n = totals["n"]
    abstained = accuracy("abstained", totals["abstained"], n, Kind.MEASURED, "No answer: the draws leave it open.")
    if "accuracy" in totals:
        right = "The smoothed classifier's answer is right, and the draws single it out."
        return (accuracy("accuracy", totals["accuracy"], n, Kind.PROBABLE, right), abstained)
    guess = "The class that the first draws chose is right."
    certified = [
        accuracy(f"certified at radius {r}", a, n, Kind.PROBABLE, f"Right, with an {totals['norm']} radius of at least {r}.")
        for r, a in totals["certified_accuracy"].items()
    ]
    return (accuracy("clean accuracy", totals["clean_accuracy"], n, Kind.ESTIMATED, guess), abstained, *certified)


def _radii(totals: dict[str, Any], rows: Sequence[dict[str, Any]]) -> tuple[Figure, ...]:
    if "certified_accuracy" not in totals:
        return ()
    told = tuple((r, percent(a)) for r, a in totals["certified_accuracy"].items())
    table = Table("Certified accuracy by radius", (f"radius ({totals['norm']})", "right, with that radius"), told)
    words = f"The share of examples that are right with at least that radius, each {totals['probability']}."
    return (Figure("Certified accuracy against the radius", smoothed_chart(rows, totals["norm"]), words, table),)


def noisily_trained(run: Run) -> Section:
    """Of `smooth train`."""
    log, asked = list(run.rows(LOG)), run.config["settings"]
    lead = f"Training of {asked['model']} on noisy copies of {asked['data']}: {len(log)} epochs. Nothing is proven here."
    if not log:
        return Section(run.path.name, "smooth train", lead)
    last = log[-1]
    headlines = tuple(
        Headline(name, percent(1 - last[key]), Kind.ESTIMATED, words, 1 - last[key])
        for name, key, words in (
            ("accuracy without noise", "clean_error", "On held-out examples."),
            ("accuracy on one noisy copy", "noisy_error", "On one noisy copy of each held-out example."),
        )
    )
    rows = tuple((str(r["epoch"] + 1), percent(r["clean_error"]), percent(r["noisy_error"])) for r in log)
    table = Table("Errors by epoch", ("epoch", "clean error", "noisy error"), rows)
    return Section(run.path.name, "smooth train", lead, headlines=headlines, tables=(table,), data={"log": log})
