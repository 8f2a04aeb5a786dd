"""The section of a certify run: lower and upper bounds of robust accuracy, and what each of them rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ballproof.evaluate.rows import ROWS
from ballproof.evaluate.staged import SEARCHES
from ballproof.evaluate.tightness import TIGHTNESS
from ballproof.report.charts import curve_chart, margin_chart
from ballproof.report.layers import layer_figure
from ballproof.report.pictures import twins_of
from ballproof.report.sample import SAMPLE, accuracy
from ballproof.report.section import Figure, Headline, Kind, Section, Table, adversary, percent
from ballproof.report.times import time_figures, time_headline
from ballproof.runs import TOTALS, Run

SEMANTICS = {
    None: "the network in real numbers; the bounds were computed in floating point, whose rounding is not part of the proof",
    "real": "the network in real numbers; the checker's own arithmetic, with all rounding errors taken off",
    "deployed": "every float32 evaluation order of the network; the checker's arithmetic, with all rounding errors taken off",
}
"""What a proof is about, by the setting `rigorous`."""


def certified(run: Run) -> Section:
    asked = run.config["settings"]
    examples = f"{asked['n']} examples of {asked['data']} ({asked['split']})"
    lead = f"Does the answer to each of {examples} stay right, whatever the adversary does?"
    if not run.has(TOTALS):
        return Section(run.path.name, "certify", lead + " Not finished.")
    totals, rows = run.read_json(TOTALS), run.rows(ROWS)
    layers = run.read_json(TIGHTNESS) if run.has(TIGHTNESS) else []
    return Section(
        run.path.name,
        "certify",
        lead,
        _facts(asked, totals),
        _headlines(asked, totals, rows),
        (*_figures(asked, totals, rows), *layer_figure(layers), *time_figures(rows)),
        twins_of(run),
        (_classes(rows), *_methods(rows)),
        data={"totals": totals, "tightness": layers},
    )


def _attack(asked: dict[str, Any], totals: dict[str, Any]) -> str:
    steps = asked["attack_steps"]
    searched = " or by the search" if steps else "the search"
    return (f"{steps} steps of PGD" if steps else "") + (searched if totals["method"] in SEARCHES else "")


def _facts(asked: dict[str, Any], totals: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    chain = ", then ".join([str(asked["model"]), *asked.get("then", [])])
    attack = _attack(asked, totals)
    return (
        ("Network", f"a cascade: {chain}" if asked.get("then") else chain),
        adversary(totals["norm"], totals["eps"], asked["clip"]),
        ("Proof by", totals["method"]),
        ("A proof is about", SEMANTICS[asked.get("rigorous")]),
        ("Attack", f"{attack}; it proves nothing where it fails" if attack else "none: nothing was attacked"),
        ("Intervals", SAMPLE),
    )


def _headlines(asked: dict[str, Any], totals: dict[str, Any], rows: Sequence[dict[str, Any]]) -> tuple[Headline, ...]:
    n, method = totals["n"], totals["method"]
    proof = Kind.RIGOROUS if asked.get("rigorous") else Kind.PROVEN
    attack = _attack(asked, totals)
    broken = "Nothing was attacked."
    if attack:
        broken = f"Right and not broken by {attack}; the true robust accuracy is at most this."
    proven = f"Proven by {method} to keep the right answer in the whole ball; the true robust accuracy is at least this."
    if asked.get("then"):
        proven = (
            f"Cascade: the network that answers the unchanged input is right, and proven by {method} to stay so in the whole "
            "ball. A moved input may be answered by another network, so this is no bound of robust accuracy."
        )
    return (
        accuracy("clean accuracy", totals["clean_accuracy"], n, Kind.MEASURED, "Right answers on unchanged inputs."),
        accuracy("attacked accuracy", totals["attacked_accuracy"], n, Kind.ATTACKED, broken),
        accuracy("certified accuracy", totals["certified_accuracy"], n, proof, proven),
        time_headline(rows, "for the proof and the attack together"),
    )


def _figures(asked: dict[str, Any], totals: dict[str, Any], rows: Sequence[dict[str, Any]]) -> tuple[Figure, ...]:
    margins = sorted(row["margin"] for row in rows)
    at = {q: margins[min(len(margins) - 1, q * len(margins) // 100)] for q in (0, 5, 25, 50, 75, 95, 100)}
    rank = tuple((f"{q} %", f"{margin:.4g}") for q, margin in at.items())
    least = Table("Least proven margin", ("share of examples", "margin at most"), rank)
    found = [
        Figure(
            "Histogram of proven margins",
            margin_chart(rows),
            "The least proven margin of each example: how much the label's logit exceeds every other one, at least, everywhere "
            "in the ball. Right of 0 is certified.",
            least,
        )
    ]
    if totals.get("curve"):
        found.append(_curve(asked, totals))
    return tuple(found)


def _curve(asked: dict[str, Any], totals: dict[str, Any]) -> Figure:
    curve, searched = totals["curve"], totals["method"] in SEARCHES
    words = f"The same on the first {curve[0]['n']} examples for other radii"
    if searched:
        words += ", certified by crown" + (" and attacked by PGD alone" if asked["attack_steps"] else " and not attacked")
    if asked.get("rigorous"):
        words += ", without the rounding errors taken off: this curve is less than rigorous"
    words += "; the dotted line is the radius above. True robust accuracy lies in the grey band."
    keys = ("clean_accuracy", "attacked_accuracy", "certified_accuracy")
    rows = tuple((f"{p['eps']:.4g}", *(percent(p[k]) for k in keys)) for p in curve)
    table = Table("Accuracy against eps", ("eps", "clean", "attacked", "certified"), rows)
    return Figure("Accuracy against eps", curve_chart(curve, totals["eps"]), words, table)


def _classes(rows: Sequence[dict[str, Any]]) -> Table:
    """The same fractions class by class."""
    told = []
    for label in sorted({row["label"] for row in rows}):
        own = [row for row in rows if row["label"] == label]
        clean, broken, proven = (sum(bool(r[k]) for r in own) / len(own) for k in ("correct", "attacked", "certified"))
        standing = None if own[0]["attacked"] is None else 1 - broken
        told.append((str(label), str(len(own)), percent(clean), percent(standing), percent(proven)))
    return Table("Class by class", ("class", "examples", "clean", "attacked", "certified"), tuple(told))


def _methods(rows: Sequence[dict[str, Any]]) -> tuple[Table, ...]:
    """What settled how many examples, where more than one method was at work."""
    settled = Counter((r["by"], "certified" if r["certified"] else "broken") for r in rows if r["by"])
    if len(settled) < 2:
        return ()
    told = [(by, outcome, str(count)) for (by, outcome), count in sorted(settled.items())]
    left = sum(not r["by"] for r in rows)
    told += [("nothing", "open", str(left))] if left else []
    words = "clean: the answer is wrong without any attack."
    return (Table("What settled the examples", ("by", "outcome", "examples"), tuple(told), words),)
