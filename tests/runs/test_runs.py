"""Run folders survive kills and refuse to be mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballproof.errors import InputError
from ballproof.runs import Run


def test_resume_needs_the_same_command_and_settings(tmp_path: Path) -> None:
    Run.start(tmp_path / "a", "train", {"eps": 0.1, "clip": [0, 1]}, resume=False)
    assert Run.start(tmp_path / "a", "train", {"eps": 0.1, "clip": (0, 1)}, resume=True).config["command"] == "train"
    with pytest.raises(InputError, match="--resume"):
        Run.start(tmp_path / "a", "train", {"eps": 0.1, "clip": [0, 1]}, resume=False)
    with pytest.raises(InputError, match=r"eps was 0\.1 and is 0\.2"):
        Run.start(tmp_path / "a", "train", {"eps": 0.2, "clip": [0, 1]}, resume=True)
    with pytest.raises(InputError, match="not of `certify`"):
        Run.start(tmp_path / "a", "certify", {"eps": 0.1, "clip": [0, 1]}, resume=True)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="other things"):
        Run.start(tmp_path, "train", {}, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_a_row_cut_short_is_cut_off(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "certify", {}, resume=False)
    run.append("rows.jsonl", [{"i": 0}, {"i": 1}])
    with (run.path / "rows.jsonl").open("ab") as file:
        file.write(b'{"i": 2')
    assert run.rows("rows.jsonl") == [{"i": 0}, {"i": 1}]
    run.append("rows.jsonl", [{"i": 2}])
    assert run.rows("rows.jsonl") == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "train", {}, resume=False)
    run.write_bytes("x", b"old")
    (run.path / ".x.part").mkdir()
    with pytest.raises((InputError, OSError)):
        run.write_bytes("x", b"new")
    assert (run.path / "x").read_bytes() == b"old"


def test_a_setting_without_a_word_in_an_older_folder_means_its_default(tmp_path: Path) -> None:
    Run.start(tmp_path / "a", "train", {"eps": 0.1}, resume=False)
    defaults = {"eps": 0.5, "weights": (0, 1), "unused": 3}
    assert Run.start(tmp_path / "a", "train", {"eps": 0.1, "weights": [0, 1]}, True, defaults).path == tmp_path / "a"
    with pytest.raises(InputError, match=r"weights was \[0, 1\] and is \[2\]"):
        Run.start(tmp_path / "a", "train", {"eps": 0.1, "weights": [2]}, True, defaults)
    with pytest.raises(InputError, match=r"eps was 0\.1 and is 0\.5"):
        Run.start(tmp_path / "a", "train", {"eps": 0.5}, True, defaults)
    with pytest.raises(InputError, match="weights was None"):
        Run.start(tmp_path / "a", "train", {"eps": 0.1, "weights": [0, 1]}, True)
