"""The pages of the documentation: their links lead somewhere, and their Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ballproof.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RUNNING = ["attacks.md", "smoothing.md"]
TOCTREE = re.compile(r"^([\w/]+)$", re.MULTILINE)
"""An entry of a table of contents."""


def anchors(text: str) -> set[str]:
    """The names by which headings are linked: lower case, spaces as hyphens, without signs."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        file, _, place = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists() and target.is_relative_to(ROOT), f"{page.name} links to {link}"
        assert not place or place in anchors(target.read_text()), f"{page.name} links to {link}"


def test_the_readme_links_to_every_page_of_docs() -> None:
    """Or a page that it links to does, or the site's table of contents: nothing is hidden."""
    seen, left = set(), [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while left:
        page = left.pop()
        seen.add(page)
        text = page.read_text()
        contents = re.findall(r"^```\{toctree\}(.*?)^```", text, re.DOTALL | re.MULTILINE)
        links = [f"{name}.md" for block in contents for name in re.findall(r"^[\w/]+$", block, re.MULTILINE)]
        links += re.findall(r"\]\(([^)\s#]+\.md)", text)
        left += [p for p in {(page.parent / link).resolve() for link in links} if p.exists() and p not in seen]
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= {page.name for page in seen}


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # foolbox 3.3.4 takes a filter from where SciPy had it
@pytest.mark.parametrize("name", RUNNING)
def test_the_python_of_a_page_runs_from_top_to_bottom(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)
    assert blocks
    found: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), found)  # noqa: S102  our own text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_understood(page: Path) -> None:
    fenced = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.partition("#")[0].split() for block in fenced for line in block.replace("\\\n", " ").splitlines()]
    for line in lines:
        if line and line[0] == "ballproof" and not any("[" in word for word in line):  # with brackets it is a synopsis
            app.parse_args(line[1:], exit_on_error=False, print_error=False)  # raises for an option that is not there
