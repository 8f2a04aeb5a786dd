"""The page itself: a section for each run, as HTML, Markdown or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ballproof.errors import InputError
from ballproof.report.attacked import attacked
from ballproof.report.benchmark import benchmark
from ballproof.report.certified import certified
from ballproof.report.citations import cited, entries
from ballproof.report.compare import Compared, compared
from ballproof.report.figures import themed
from ballproof.report.radii import radii
from ballproof.report.reproduce import reproduce
from ballproof.report.section import Section, percent
from ballproof.report.smoothed import noisily_trained, smoothed
from ballproof.report.story import story
from ballproof.report.trained import trained
from ballproof.report.verified import verified
from ballproof.runs import Run

Form = Literal["html", "md", "json"]

SECTIONS: dict[str, Callable[[Run], Section]] = {
    "demo": story,
    "train": trained,
    "certify": certified,
    "attack": attacked,
    "radius": radii,
    "verify": verified,
    "vnncomp": benchmark,
    "smooth train": noisily_trained,
    "smooth certify": smoothed,
    "smooth predict": smoothed,
}
"""Who tells of a run, by the command that wrote it."""

GLOSSARY = """
Certified means proven: no point of the ball, found or not, changes the answer. A proof up to float rounding was computed in
arithmetic whose own rounding is not part of the proof; a proof with rounding included was accepted by the independent checker.

Attacked means that a search did not find such a point; it proves nothing. The true robust accuracy lies between certified and
attacked.

A number that holds with a stated probability is right for the smoothed classifier unless the draws were unlucky: no proof. An
estimate proves nothing at all.

eps is the radius of the ball in the units of the data.
"""


@dataclass(frozen=True)
class _Page:
    title: str
    sections: tuple[Section, ...]
    compared: Compared | None
    cited: str


def write_report(paths: list[Path], page: Path, form: Form | None = None) -> Path:
    """Write one file about these run folders, in the form asked for or by the suffix of its name (.html, .md, .json).

    An HTML page opens from disk and asks the network for nothing.
    """
    text = FORMS[form or form_of(page)](_page([Run.read(path) for path in paths]))
    page.parent.mkdir(parents=True, exist_ok=True)
    beside = page.with_name(f".{page.name}.part")
    beside.write_text(text)
    beside.replace(page)
    return page


def form_of(page: Path) -> Form:
    """The form that a file's name asks for."""
    forms: dict[str, Form] = {".html": "html", ".htm": "html", ".md": "md", ".json": "json"}
    if page.suffix.lower() not in forms:
        raise InputError(f"`out` is {page}, whose suffix says no form; expected .html, .md or .json, or --format")
    return forms[page.suffix.lower()]


def _page(runs: list[Run]) -> _Page:
    sections = [_section(run) for run in runs]
    known = entries()
    keys = dict.fromkeys(key for s in sections for key in s.cited)
    title = "ballproof: " + ", ".join(dict.fromkeys(s.command for s in sections))
    return _Page(title, tuple(sections), compared(runs, sections), "\n\n".join(known[key] for key in keys))


def _section(run: Run) -> Section:
    command, settings = run.config["command"], run.config["settings"]
    if command not in SECTIONS:
        raise InputError(f"{run.path} holds a run of `{command}`, of which no report is known; expected {', '.join(SECTIONS)}")
    return replace(SECTIONS[command](run), reproduce=reproduce(run), cited=cited(command, settings))


def _html(page: _Page) -> str:
    return _filled("page.html.jinja", page, escape=True, css=_resource("page.css").strip())


def _markdown(page: _Page) -> str:
    lines = [line.rstrip() for line in _filled("page.md.jinja", page, escape=False).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _json(page: _Page) -> str:
    """Everything but the pictures."""
    told = asdict(page)
    for section in told["sections"]:
        section["figures"] = [{"title": f["title"], "words": f["words"], "table": f["table"]} for f in section["figures"]]
        section["twins"] = [{k: v for k, v in t.items() if k != "pictures"} for t in section["twins"]]
        section["headlines"] = [{**h, "kind": h["kind"].name.lower()} for h in section["headlines"]]
    if told["compared"]:
        del told["compared"]["figures"]
    return json.dumps(told, indent=1) + "\n"


FORMS: dict[Form, Callable[[_Page], str]] = {"html": _html, "md": _markdown, "json": _json}


def _filled(name: str, page: _Page, escape: bool, **more: Any) -> str:
    from jinja2 import Environment, StrictUndefined

    laid_out: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    environment = Environment(autoescape=escape, **laid_out)  # noqa: S701  Markdown has an escape of its own
    environment.filters |= {"percent": percent, "themed": themed, "md": escaped}
    return environment.from_string(_resource(name)).render(**vars(page), glossary=GLOSSARY.strip().split("\n\n"), **more)


def _resource(name: str) -> str:
    return (resources.files("ballproof.report") / name).read_text()


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup of its own, no HTML, one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", " ".join(str(text).split()))
