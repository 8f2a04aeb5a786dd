"""The section of the demo: the story's chapters, a picture each."""

from __future__ import annotations

from ballproof.report.section import Figure, Section
from ballproof.runs import Run

STORY = "story.json"


def story(run: Run) -> Section:
    chapters = run.read_json(STORY) if run.has(STORY) else []
    figures = tuple(Figure(c["title"], c["figure"], c["text"], plain=True) for c in chapters)
    return Section(run.path.name, "demo", "Two classes on the plane, where every proof can be seen.", figures=figures)
