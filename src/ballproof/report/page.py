"""The page itself: a section for each run, filled into one template."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ballproof.evaluate.results import TOTALS
from ballproof.evaluate.rows import ROWS
from ballproof.evaluate.staged import SEARCHES
from ballproof.report.charts import curve_chart, margin_chart, training_chart
from ballproof.report.pictures import twin_rows
from ballproof.runs import Run
from ballproof.train.loop import LOG

STORY = "story.json"


def write_report(paths: list[Path], page: Path) -> Path:
    """Write one HTML file about these run folders: opens from disk, asks the network for nothing."""
    from jinja2 import Environment

    text = (resources.files("ballproof.report") / "page.html.jinja").read_text()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    sections = [_section(Run.read(path)) for path in paths]
    html = template.render(sections=sections, title=_title(sections), total=_summary(sections))
    page.parent.mkdir(parents=True, exist_ok=True)
    beside = page.with_name(f".{page.name}.part")
    beside.write_text(html)
    beside.replace(page)
    return page


def _section(run: Run) -> dict[str, Any]:
    config = run.config
    told = {"name": run.path.name, "command": config["command"], "settings": config["settings"], "versions": config["versions"]}
    if run.has(STORY):
        told["story"] = run.read_json(STORY)
    if config["command"].startswith("smooth "):
        return told | {"smoothed": run.read_json(TOTALS) if run.has(TOTALS) else {}, "smooth_log": list(run.rows(LOG))}
    if log := list(run.rows(LOG)):
        told |= {"log": log, "last": log[-1], "training_chart": training_chart(log)}
    if run.has(TOTALS):
        told |= _certified(run)
    return told


def _certified(run: Run) -> dict[str, Any]:
    totals = run.read_json(TOTALS)
    told: dict[str, Any] = {"totals": totals}
    if "certified_accuracy" not in totals:
        return told
    rows = run.rows(ROWS)
    told["searches"] = totals["method"] in SEARCHES
    told |= {"margin_chart": margin_chart(rows), "twins": twin_rows(run), "classes": _classes(rows)}
    if totals.get("curve"):
        told["curve_chart"] = curve_chart(totals["curve"], totals["eps"])
    return told


def _classes(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same fractions class by class."""
    told = []
    for label in sorted({row["label"] for row in rows}):
        own = [row for row in rows if row["label"] == label]
        share = {k: sum(bool(r[k]) for r in own) / len(own) for k in ("correct", "attacked", "certified")}
        standing = None if own[0]["attacked"] is None else 1 - share["attacked"]
        told.append({"label": label, "n": len(own), **share, "attacked": standing})
    return told


def _title(sections: list[dict[str, Any]]) -> str:
    return "ballproof: " + ", ".join(dict.fromkeys(s["command"] for s in sections))


def _summary(sections: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The certify runs side by side."""
    return [{"name": s["name"], **s["totals"]} for s in sections if "certified_accuracy" in s.get("totals", {})]
