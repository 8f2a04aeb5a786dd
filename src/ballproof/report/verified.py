"""The section of one verification: the verdict, and its evidence."""

from __future__ import annotations

from ballproof.evaluate.results import TOTALS
from ballproof.report.section import Headline, Kind, Section, Table
from ballproof.runs import Run

MEANING = {
    "unsat": (Kind.PROVEN, "No input of the specification gives an output that it calls unsafe."),
    "sat": (Kind.ATTACKED, "An input of the specification gives an unsafe output; it was evaluated once more."),
    "unknown": (Kind.MEASURED, "Neither proven nor refuted."),
    "timeout": (Kind.MEASURED, "Neither proven nor refuted within the time."),
}


def verified(run: Run) -> Section:
    asked = run.config["settings"]
    lead = f"Has {asked['network']} an input of {asked['specification']} with an output that it calls unsafe?"
    if not run.has(TOTALS):
        return Section(run.path.name, "verify", lead + " Not finished.")
    told = run.read_json(TOTALS)
    kind, words = MEANING[told["result"]]
    facts = [("Engine", told["engine"]), ("Time", f"{told['seconds']:g} of {asked['timeout']:g} seconds")]
    facts += [("Reason", told["reason"])] if told["reason"] else []
    facts += [("Proven bound", f"{told['bound']:.6g}")] if told["bound"] is not None and told["result"] == "unsat" else []
    facts += (
        [("Certificate", f"{told['certificate']}: `ballproof check` verifies it, all rounding taken off")]
        if told["certificate"]
        else []
    )
    point = told["counterexample"]
    facts += [("Evaluated by", point["replayed_by"])] if point else []
    tables = (
        [
            Table(f"Counterexample, {k}", ("coordinate", "value"), tuple((str(i), repr(v)) for i, v in enumerate(point[k])))
            for k in "xy"
        ]
        if point
        else []
    )
    headline = Headline("verdict", told["result"], kind, words)
    return Section(run.path.name, "verify", lead, tuple(facts), (headline,), tables=tuple(tables), data=told)
