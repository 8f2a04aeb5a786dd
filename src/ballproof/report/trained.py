"""The section of a training: how errors and losses moved, and what the last epoch's numbers are worth."""

from __future__ import annotations

from typing import Any

from ballproof.report.charts import errors_chart, loss_chart
from ballproof.report.sample import SAMPLE, accuracy
from ballproof.report.section import Figure, Kind, Section, Table, adversary, percent
from ballproof.runs import Run
from ballproof.train.loop import LOG

LOSS = {
    "bound": "made of a proven bound of the worst cross-entropy",
    "estimate": "an estimate of a bound, which proves nothing",
}
"""What the training loss is, by the word that the log has for it."""


def trained(run: Run) -> Section:
    log, asked = list(run.rows(LOG)), run.config["settings"]
    lead = f"Training of {asked['model']} on {asked['data']} by {asked['method']}: {len(log)} of {asked['epochs']} epochs."
    if not log:
        return Section(run.path.name, "train", lead)
    last = log[-1]
    by, n = last["certify_method"], last["evaluated"]
    shares = (
        ("clean", last.get("held_out", 0), Kind.MEASURED, "Right answers on unchanged held-out examples."),
        ("pgd", n, Kind.ATTACKED, f"Right and not broken by PGD, of {n} held-out examples; at least the truth."),
        (
            "certified",
            n,
            Kind.PROVEN,
            f"Proven by {by} to stay right in the ball, of {n} held-out ones; at most the truth.",
        ),
    )
    headlines = tuple(
        accuracy(f"{'attacked' if key == 'pgd' else key} accuracy", 1 - last[f"{key}_error"], count, kind, words)
        for key, count, kind, words in shares
    )
    facts = (
        adversary(asked["norm"], asked["eps"], asked["clip"]),
        ("Training loss", f"{asked['method']}: {LOSS.get(last['robust_loss_is'], 'no bound of the worst cross-entropy')}"),
        ("Examples", "held out of the training set before the training; the test set is not touched"),
        ("Intervals", SAMPLE),
        ("Time", f"{last['seconds']:.0f} seconds in all, {last['seconds'] / len(log):.1f} an epoch, measurements included"),
    )
    return Section(run.path.name, "train", lead, facts, headlines, _figures(log), data={"log": log})


def _figures(log: list[dict[str, Any]]) -> tuple[Figure, ...]:
    rows = tuple(
        (
            str(r["epoch"] + 1),
            f"{r['eps']:.4g}",
            f"{r['loss']:.4g}",
            *(percent(r[k]) for k in ("clean_error", "pgd_error", "certified_error")),
        )
        for r in log
    )
    table = Table("Errors and loss by epoch", ("epoch", "eps", "loss", "clean error", "PGD error", "certified error"), rows)
    errors = "On held-out examples. Certified error is at least the error under any attack, PGD error at most."
    loss = "The training loss, and the radius of the ball that it was taken over (dotted)."
    return (
        Figure("Errors and loss by epoch", errors_chart(log), errors, table),
        Figure("Training loss and radius by epoch", loss_chart(log), loss),
    )
