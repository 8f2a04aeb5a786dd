"""The page can be read by everybody: structure, names and labels, and contrast computed from its own colours."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from ballproof.report import write_report
from ballproof.report.figures import VARIABLES
from ballproof.runs import Run

CSS = (resources.files("ballproof.report") / "page.css").read_text()
LIGHT, DARK = (dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", CSS))

TEXT = ("--ink", "--soft", "--blue", "--orange", "--violet", "--red")
"""The colours in which words are set."""


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") == pytest.approx(
        4.48, abs=0.01
    )


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_words_and_lines_stand_out(colors: dict[str, str]) -> None:
    assert {*TEXT, *VARIABLES.values()} <= set(colors)
    for ground in ("--paper", "--card"):
        for name in TEXT:
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    for name in ("--blue", "--orange", "--green", "--violet", "--grey"):
        assert contrast(colors[name], colors["--paper"]) >= 3, name


def test_paper_is_printed_in_light_colours() -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in CSS and "@media print" in CSS


class Structure(HTMLParser):
    """What a reader that does not see the page goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.parents: list[str] = []
        self.labelled_inputs = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.labelled_inputs += tag == "input" and "label" in self.parents
        if tag not in ("img", "input", "meta", "br"):
            self.parents.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.parents and self.parents[-1] == tag:
            self.parents.pop()

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def structure(page: str) -> Structure:
    found = Structure()
    found.feed(page)
    return found


def test_structure_names_and_labels(certified_page: str) -> None:
    page = structure(certified_page)
    assert page.of("html") == [{"lang": "en"}] and len(page.of("h1")) == len(page.of("main")) == 1
    assert page.of("title") and any(m.get("name") == "viewport" for m in page.of("meta"))
    assert page.of("img") and all(i.get("alt") for i in page.of("img"))
    assert len(page.of("input")) == page.labelled_inputs > 0
    assert all(t.get("scope") for t in page.of("th")) and len(page.of("caption")) == len(page.of("table"))
    pictures = [d for d in page.of("div") if d.get("role") == "img"]
    assert len(pictures) == len(page.of("svg")) and all(p.get("aria-label") for p in pictures)
    scrolled = [d for d in page.of("div") if d.get("class") == "wide"]
    assert scrolled and all(d.get("tabindex") == "0" and d.get("aria-label") for d in scrolled)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    headings = {a.get("id") for name, a in page.tags if name == "h2"}
    assert {s.get("aria-labelledby") for s in page.of("section")} <= headings


def test_several_runs_have_a_table_of_contents(tmp_path: Path) -> None:
    for name in "ab":
        Run.start(tmp_path / name, "demo", {}, resume=False)
    page = structure(write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "x.html").read_text())
    assert page.of("nav")[0]["aria-label"] and [a["href"] for a in page.of("a")] == ["#run-1", "#run-2"]
