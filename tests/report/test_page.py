"""The page: self-contained, whole, and safe against what stands in names."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ballproof.data import load
from ballproof.errors import InputError
from ballproof.evaluate import CertifySettings, certify
from ballproof.evaluate.curve import accuracy_curve
from ballproof.evaluate.results import write_results
from ballproof.networks.architectures import build
from ballproof.report import write_report
from ballproof.report.figures import figure, svg
from ballproof.runs import Run

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Tags(HTMLParser):
    """Counts what is open, gathers ids and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.images_without_words = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v]
        self.images_without_words += tag == "img" and not given.get("alt")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(certified_page: str) -> str:
    return certified_page


def test_it_is_well_formed_and_asks_the_network_for_nothing(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and tags.images_without_words == 0
    assert len(tags.ids) == len(set(tags.ids))
    assert all(a.startswith(("#", "data:")) for a in tags.addresses)
    assert not re.search(r"@import|url\((?!#)", page) and len(page.encode()) < 5_000_000


def test_names_cannot_become_markup(page: str) -> None:
    assert "<script>alert" not in page and "&lt;script&gt;" in page


def test_it_says_what_the_numbers_mean(page: str) -> None:
    for words in (
        "proof, up to float rounding",
        "attack: an upper bound",
        "at most this",
        "at least this",
        "units of the data",
    ):
        assert words in page
    assert "What the words mean" in page and page.count("<svg") == 3


def test_a_curve_beside_rigorous_figures_is_said_to_be_less(page: str, tmp_path: Path) -> None:
    words = "this curve is less than rigorous"
    assert words not in page
    data = load("digits", "test").subset(list(range(4)))
    module, settings = build("mlp", data.shape, data.classes), CertifySettings(eps=0.01, attack_steps=0, method="interval")
    told = {"data": "digits", "split": "test", "n": 4, "model": "m", "clip": [0, 1], "attack_steps": 0, "rigorous": "real"}
    run = Run.start(tmp_path / "c", "certify", told, resume=False)
    write_results(run, certify(module, data, settings=settings, run=run), accuracy_curve(module, data, settings, 2))
    assert words in write_report([run.path], run.path / "report.html").read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        write_report([tmp_path], tmp_path / "x.html")


def test_equal_figures_are_equal_text_and_ids_are_their_own() -> None:
    def draw(slope: float) -> str:
        fig, axes = figure(2, 2)
        axes.plot([0, 1], [0, slope])
        return svg(fig)

    first, second = draw(1.0), draw(2.0)
    assert first == draw(1.0)
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    for text, own in zip((first, second), ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) <= own
