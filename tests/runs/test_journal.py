"""Journals: damage is seen, nothing whole is lost, a full disk leaves the file as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ballproof.errors import InputError
from ballproof.runs import Journal, Run
from ballproof.runs.journal import line_of, row_of

ROWS = [{"index": i, "margins": [0.5, -float(i)], "by": 'a "quoted" name, é'} for i in range(5)]


def journal(path: Path) -> Journal:
    found = Journal(path / "rows.jsonl")
    found.append(ROWS)
    return found


def test_rows_come_back_and_other_programs_can_read_them(tmp_path: Path) -> None:
    found = journal(tmp_path)
    assert found.rows() == ROWS
    assert found.rows()[1:3] == ROWS[1:3]
    assert found.rows().at([4, 0])[0] == ROWS[4]
    lines = [json.loads(line) for line in found.path.read_text().splitlines()]
    assert [{k: v for k, v in line.items() if k != "crc"} for line in lines] == ROWS


def test_every_changed_bit_is_seen(tmp_path: Path) -> None:
    line = bytearray(line_of(ROWS[1]))
    for bit in range(8 * (len(line) - 1)):
        line[bit // 8] ^= 1 << bit % 8
        (tmp_path / "rows.jsonl").write_bytes(bytes(line))
        assert list(Journal(tmp_path / "rows.jsonl").rows()) == []
        line[bit // 8] ^= 1 << bit % 8
    assert row_of(bytes(line)) == ROWS[1]


def test_a_damaged_row_costs_itself_alone(tmp_path: Path) -> None:
    found = journal(tmp_path)
    content = found.path.read_bytes()
    found.path.write_bytes(content.replace(b"-2.0", b"-2.5"))
    assert found.rows() == [row for row in ROWS if row["index"] != 2]
    assert found.rows().damaged == 1


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_what_a_kill_left_is_cut_off_by_the_next_writer_alone(tmp_path: Path, cut: int) -> None:
    found = journal(tmp_path)
    whole = found.path.read_bytes()
    found.path.write_bytes(whole + line_of(ROWS[0])[:cut])
    assert found.rows() == ROWS
    assert found.path.stat().st_size == len(whole) + cut  # who only looks changes nothing: another may be writing
    found.append([{"index": 9}])
    assert found.rows() == [*ROWS, {"index": 9}]


def test_folders_of_earlier_versions_are_read_and_gone_on_with(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "a", "certify", {}, resume=False)
    assert run.config["format"] == 2
    (run.path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert list(run.rows("rows.jsonl")) == []  # of this version every row has its checksum
    config = {k: v for k, v in run.config.items() if k != "format"}
    (run.path / "config.json").write_text(json.dumps(config))
    assert run.rows("rows.jsonl") == ROWS
    run.append("rows.jsonl", [{"index": 9}])
    assert run.rows("rows.jsonl") == [*ROWS, {"index": 9}]


FULL = """
import resource, signal, sys
from pathlib import Path
from ballproof.errors import InputError
from ballproof.runs import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
if sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
kept = 0
try:
    while kept < 10000:
        journal.append([{"index": kept, "text": "x" * 50}, {"index": kept + 1, "text": "y" * 50}])
        kept += 2
except InputError as error:
    print(kept, error)
"""


def filled(path: Path, *limit: str) -> tuple[int, str]:
    """How many rows a process kept until there was no room, and what it said."""
    source = str(Path(__file__).resolve().parents[2] / "src")
    around = {**os.environ, "PYTHONPATH": source}
    found = subprocess.run(
        [sys.executable, "-c", FULL, str(path), *limit], capture_output=True, text=True, check=True, env=around
    )
    kept, _, words = found.stdout.strip().partition(" ")
    return int(kept), words


def test_a_file_that_may_not_grow_keeps_its_rows_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    kept, words = filled(path, "10000")
    assert 0 < kept < 10000 and "earlier rows are kept" in words
    assert [row["index"] for row in Journal(path).rows()] == list(range(kept))
    Journal(path).append([{"index": kept}])
    assert len(Journal(path).rows()) == kept + 1


def test_a_full_disk_keeps_its_rows_and_goes_on(tmp_path: Path) -> None:
    """A file system of 64 KiB in memory; skipped where none can be mounted."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        kept, words = filled(tmp_path / "rows.jsonl")
        assert kept and "No space left" in words
        rows = Journal(tmp_path / "rows.jsonl").rows()
        assert [row["index"] for row in rows] == list(range(kept))
        with pytest.raises(InputError, match="No space left"):
            Run(tmp_path).write_json("results.json", "x" * 70_000)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
