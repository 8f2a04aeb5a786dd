"""The section of an attack: an upper bound of robust accuracy, and whether it can be believed."""

from __future__ import annotations

from typing import Any

from ballproof.report.sample import SAMPLE, accuracy
from ballproof.report.section import Kind, Section, Table, adversary
from ballproof.runs import TOTALS, Run


def attacked(run: Run) -> Section:
    asked = run.config["settings"]
    lead = f"Which examples of {asked['data']} ({asked['split']}) can an attack break? What it leaves standing is not proven."
    if not run.has(TOTALS):
        return Section(run.path.name, "attack", lead + " Not finished.")
    totals = run.read_json(TOTALS)
    n = totals["n"]
    left = f"What {totals['attack']} could not break; the true robust accuracy is at most this."
    name, towards = "attacked accuracy", asked.get("towards")
    if towards is not None:
        name, left = (
            f"not made a {towards}",
            f"What {totals['attack']} did not bring to class {towards}.",
        )
    headlines = (
        accuracy("clean accuracy", totals["clean_accuracy"], n, Kind.MEASURED, "Right answers on unchanged inputs."),
        accuracy(name, totals["attacked_accuracy"], n, Kind.ATTACKED, left),
    )
    facts = (
        ("Network", str(asked["model"])),
        adversary(totals["norm"], totals["eps"], asked["clip"]),
        ("Attack", str(asked["attack"])),
        ("Points found", "each was asked of the network again, outside the search, and lies in the ball"),
        ("Intervals", SAMPLE),
        ("Time", f"{totals['seconds']:.1f} seconds for {n} examples"),
    )
    return Section(run.path.name, "attack", lead, facts, headlines, tables=_tables(totals), data={"totals": totals})


def _tables(totals: dict[str, Any]) -> tuple[Table, ...]:
    words = "clean: the answer is wrong without any attack."
    broken = tuple((name, str(count)) for name, count in totals.get("by", {}).items())
    found = [Table("What broke the examples", ("by", "examples"), broken, words)] if broken else []
    if checks := totals.get("checks"):
        figures = [", ".join(f"{name} {value:.4g}" for name, value in c["figures"].items()) for c in checks]
        outcome = ["suspicious" if c["suspicious"] else "ok" for c in checks]
        rows = tuple((c["name"], o, f) for c, o, f in zip(checks, outcome, figures, strict=True))
        found.append(Table("Can the figure be believed?", ("check", "outcome", "figures"), rows))
    return tuple(found)
