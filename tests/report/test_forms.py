"""Markdown and JSON tell the same as the page; several runs stand side by side; every command's run has a section."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binom

from ballproof.cli import main
from ballproof.errors import InputError
from ballproof.report import write_report
from ballproof.report.citations import KEYS, cited, entries
from ballproof.report.page import SECTIONS, escaped
from ballproof.report.sample import interval
from ballproof.runs import Run

NAMES = ("clean accuracy", "attacked accuracy", "certified accuracy")


def told(paths: list[Path], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(write_report(paths, folder / "x.json").read_text())
    return found


def test_json_holds_the_numbers_of_the_run(certified_run: Path, tmp_path: Path) -> None:
    (section,) = told([certified_run], tmp_path)["sections"]
    totals = json.loads((certified_run / "results.json").read_text())
    headlines = {h["name"]: h for h in section["headlines"]}
    assert [headlines[n]["number"] for n in NAMES] == [totals[n.replace(" ", "_")] for n in NAMES]
    assert [headlines[n]["kind"] for n in NAMES] == ["measured", "attacked", "proven"]
    assert section["data"]["totals"] == totals


def test_how_to_reproduce_holds_seed_versions_and_hashes(certified_run: Path, tmp_path: Path) -> None:
    (section,) = told([certified_run], tmp_path)["sections"]
    reproduce = dict(section["reproduce"])
    assert reproduce["seed"] == "7" and f"torch {torch.__version__}" in reproduce["versions"]
    rows = (certified_run / "rows.jsonl").read_bytes()
    assert reproduce["rows.jsonl sha256"] == hashlib.sha256(rows).hexdigest() and "examples sha256" in reproduce


def test_the_command_line_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "attack",
        "digits-robust",
        "--data",
        "digits",
        "--eps",
        "0.1",
        "--limit",
        "9",
        "--steps",
        "2",
        "--out",
        str(tmp_path / "a"),
    ]
    assert main(asked) == 0
    assert (tmp_path / "a" / "report.html").is_file()
    (section,) = told([tmp_path / "a"], tmp_path)["sections"]
    assert dict(section["reproduce"])["command"] == "ballproof " + " ".join(asked)


def test_markdown_has_the_numbers_and_no_markup_from_names(certified_run: Path, tmp_path: Path) -> None:
    text = write_report([certified_run], tmp_path / "x.md").read_text()
    totals = json.loads((certified_run / "results.json").read_text())
    for name in NAMES:
        assert f"**{name}: {100 * totals[name.replace(' ', '_')]:.2f} %**" in text
    assert "```bibtex\n@software{ballproof," in text
    assert not re.search(r"(?<!\\)<", text) and not re.search(r"(?<!\\)\[x(?<!\\)\]", text)
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert widths and min(widths) >= 3


def test_escaped_text_is_one_line_without_markup() -> None:
    assert escaped("a\n# b `c` <i> | [d](e)") == r"a \# b \`c\` \<i\> \| \[d\](e)"


@pytest.mark.parametrize(("share", "n"), [(0.0, 10), (0.3, 10), (1.0, 7), (0.77, 359)])
def test_intervals_are_those_of_clopper_and_pearson(share: float, n: int) -> None:
    low, high = interval(share, n)
    hits = round(share * n)
    assert low == 0 if hits == 0 else binom.sf(hits - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    assert high == 1 if hits == n else binom.cdf(hits, n, high) == pytest.approx(0.025, rel=1e-6)


def test_runs_side_by_side_say_where_the_questions_differ(certified_run: Path, tmp_path: Path) -> None:
    name = "other --> <img src=x onerror=alert(1)> $x$"
    other = tmp_path / name
    other.mkdir()
    for file in certified_run.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert told([certified_run, other], tmp_path)["compared"]["doubts"] == []
    config = json.loads((other / "config.json").read_text())
    config["settings"]["eps"] = 0.02
    (other / "config.json").write_text(json.dumps(config))
    compared = told([certified_run, other], tmp_path)["compared"]
    assert compared["doubts"] == [f"the runs of certify differ in eps: 0.01 ({certified_run.name}), 0.02 ({name})."]
    (table,) = compared["tables"]
    assert table["columns"] == ["number", certified_run.name, name] and table["rows"][0][0] == "clean accuracy"
    assert told([certified_run], tmp_path)["compared"] is None
    page = write_report([certified_run, other], tmp_path / "x.html").read_text()
    assert "Not the same question:" in page and "Accuracy against eps, all runs" in page and "<img src=x" not in page


def test_every_command_that_writes_a_run_has_a_section(tmp_path: Path) -> None:
    source = "\n".join(p.read_text() for p in (Path(__file__).parents[2] / "src").rglob("*.py"))
    written = set(re.findall(r'(?:Run\.start\(.*, |_started\()"([a-z ]+)", ', source))
    assert {"certify", "smooth certify", "verify"} <= written
    assert written <= set(SECTIONS)
    Run.start(tmp_path / "r", "juggle", {}, resume=False)
    with pytest.raises(InputError, match="no report is known"):
        write_report([tmp_path / "r"], tmp_path / "x.html")


def test_an_unknown_suffix_is_refused(certified_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="says no form"):
        write_report([certified_run], tmp_path / "x.pdf")


def test_every_method_has_its_entries_and_every_entry_its_method() -> None:
    known = entries()
    used = {key for keys in KEYS.values() for key in keys} | {"ballproof"}
    assert used == set(known)
    text = "\n".join(known.values())
    assert text.count("{") == text.count("}") and all("title = {" in e and "year = {" in e for e in known.values())


@pytest.mark.parametrize(
    ("command", "settings", "keys"),
    [
        ("certify", {"method": "crown+zonotope", "attack_steps": 3}, {"zhang2018crown", "singh2018deepz", "madry2018pgd"}),
        ("certify", {"method": "ibp", "attack_steps": 0}, {"gowal2018ibp"}),
        ("train", {"method": "sdp"}, {"raghunathan2018certified"}),
        ("attack", {"attack": "APGD(steps=100)", "data": "digits"}, {"croce2020autoattack", "alpaydin1998digits"}),
        ("smooth certify", {"noise": "Gaussian(sigma=0.25)"}, {"cohen2019smoothing"}),
    ],
)
def test_what_a_run_used_is_cited(command: str, settings: dict[str, Any], keys: set[str]) -> None:
    assert set(cited(command, settings)) == keys | {"ballproof"}
