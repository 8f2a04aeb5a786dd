"""A folder of problems: rows, resuming, comparison with what is expected, limits, broken files."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import SPECS, absolute_net, write

from ballproof.cli import main
from ballproof.errors import InputError
from ballproof.evaluate.vnncomp import instances, judged, totals

NAMES = ["out of reach", "just in reach", "a strict tie"]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Three good problems, one whose network is broken, and one whose expected verdict is wrong."""
    folder = tmp_path / "bench"
    (folder / "onnx").mkdir(parents=True)
    (folder / "vnnlib").mkdir()
    absolute_net(folder / "onnx" / "net.onnx.gz")
    (folder / "onnx" / "broken.onnx").write_bytes(b"broken")
    rows, expected = [], ["onnx,vnnlib,expected"]
    for number, name in enumerate([*NAMES, "out of reach", "out of reach"]):
        write(folder / "vnnlib", SPECS[name][0], f"p{number}.vnnlib.gz")
        net = "broken" if number == 3 else "net"
        limit = 2 if name == "a strict tie" else 60
        rows.append(f"onnx/{net}.onnx,vnnlib/p{number}.vnnlib,{limit}")
        known = "sat" if number == 4 else SPECS[name][1]
        expected.append(f"onnx/{net}.onnx,vnnlib/p{number}.vnnlib,{known}")
    (folder / "instances.csv").write_text("\n".join(rows) + "\n")
    (folder / "expected.csv").write_text("\n".join(expected) + "\n")
    return folder


def told(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict[str, object]:
    assert main(list(tokens)) == 0
    return dict(json.loads(capsys.readouterr().out.strip().splitlines()[-1]))


def test_a_folder_is_decided_resumed_and_compared(benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    found = told(capsys, "vnncomp", str(benchmark), "--out", str(out), "--workers", "2", "--threads", "1", "--json")
    assert {k: found[k] for k in ("n", "unsat", "sat", "error", "wrong")} == {
        "n": 5,
        "unsat": 2,
        "sat": 1,
        "error": 1,
        "wrong": 1,
    }
    assert found["unknown"] + found["timeout"] == 1  # type: ignore[operator]
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["vnnlib"] for r in rows] == [f"vnnlib/p{i}.vnnlib" for i in range(5)]
    assert [r["judged"] for r in rows] == ["right", "right", "open", "open", "wrong"]
    assert (out / "counterexamples" / "net__p1.counterexample").read_text().startswith("sat\n((X_0 ")
    assert (out / "cactus.svg").read_text().startswith("<svg")

    journal = (out / "rows.jsonl").read_text().splitlines()
    (out / "rows.jsonl").write_text("\n".join(journal[:2]) + "\n" + journal[2][:20])
    again = told(capsys, "vnncomp", str(benchmark), "--out", str(out), "--threads", "1", "--resume", "--json")
    assert (again["n"], again["unsat"], again["sat"]) == (5, 2, 1)
    kept = (out / "rows.jsonl").read_text().splitlines()
    assert kept[:2] == journal[:2] and len(kept) == 5


def test_an_answer_is_judged() -> None:
    row = {"result": "unsat", "expected": "sat", "seconds": 1.0}
    assert judged(row) == "wrong" and totals([row])["wrong"] == 1
    assert judged({**row, "expected": "unsat"}) == "right"
    assert judged({**row, "result": "timeout"}) == "open"
    assert judged({**row, "expected": "unknown"}) == "new"


def test_a_folder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vnncomp", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "instances.csv" in capsys.readouterr().err
    (tmp_path / "instances.csv").write_text("a.onnx,b.vnnlib\n")
    with pytest.raises(InputError, match="line 1"):
        instances(tmp_path)
