"""The section of one verification: the verdict, and its evidence."""

from __future__ import annotations

from typing import Any

from ballproof.report.section import Headline, Kind, Section, Table
from ballproof.runs import TOTALS, Run

MEANING = {
    "unsat": (Kind.PROVEN, "No input of the specification gives an output that it calls unsafe."),
    "sat": (Kind.FOUND, "An input of the specification gives an output that it calls unsafe."),
    "unknown": (Kind.MEASURED, "Neither proven nor refuted."),
    "timeout": (Kind.MEASURED, "Neither proven nor refuted within the time."),
}


def verified(run: Run) -> Section:
    asked = run.config["settings"]
    lead = f"Does an input of {asked['specification']} give an output of {asked['network']} that it calls unsafe?"
    if not run.has(TOTALS):
        return Section(run.path.name, "verify", lead + " Not finished.")
    told = run.read_json(TOTALS)
    kind, words = MEANING[told["result"]]
    headline = Headline("verdict", told["result"], kind, words)
    return Section(run.path.name, "verify", lead, _facts(asked, told), (headline,), tables=_counterexample(told), data=told)


def _facts(asked: dict[str, Any], told: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found = [("Engine", told["engine"]), ("Time", f"{told['seconds']:g} of {asked['timeout']:g} seconds")]
    found += [("Reason", told["reason"])] if told["reason"] else []
    if told["result"] == "unsat":
        found.append(("A proof is about", "the network in real numbers; its own rounding is not part of the proof"))
        found += [("Proven bound", f"{told['bound']:.6g}")] if told["bound"] is not None else []
    if told["certificate"]:
        found.append(("Certificate", f"{told['certificate']}, which ballproof check reads with all rounding taken off"))
    return (*found, *([("Evaluated by", told["counterexample"]["replayed_by"])] if told["counterexample"] else []))


def _counterexample(told: dict[str, Any]) -> tuple[Table, ...]:
    names = {"x": "Counterexample: the input", "y": "Counterexample: the output"}
    point = told["counterexample"] or {}
    return tuple(
        Table(name, ("coordinate", "value"), tuple((str(i), repr(v)) for i, v in enumerate(point[key])))
        for key, name in names.items()
        if key in point
    )
