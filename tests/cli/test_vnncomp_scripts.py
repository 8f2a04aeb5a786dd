"""The three scripts of the competition, called as the competition calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import SPECS, absolute_net, write

SCRIPTS = Path(__file__).resolve().parents[2] / "vnncomp_scripts"


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A copy of the scripts beside a `.venv` whose `ballproof` is this interpreter's."""
    folder = tmp_path / "tool"
    (folder / "vnncomp_scripts").mkdir(parents=True)
    for script in SCRIPTS.iterdir():
        (folder / "vnncomp_scripts" / script.name).write_bytes(script.read_bytes())
        assert os.access(script, os.X_OK)
    (folder / ".venv" / "bin").mkdir(parents=True)
    command = folder / ".venv" / "bin" / "ballproof"
    command.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m ballproof "$@"\n')
    command.chmod(0o755)
    return folder / "vnncomp_scripts"


def test_one_problem_from_beginning_to_end(tool: Path, tmp_path: Path) -> None:
    net, spec = absolute_net(tmp_path / "net.onnx"), write(tmp_path, SPECS["just in reach"][0])
    results = tmp_path / "results.txt"
    done = [
        subprocess.run(["bash", str(tool / name), "v1", "bench", str(net), str(spec), *rest], capture_output=True, check=False)
        for name, rest in (("prepare_instance.sh", []), ("run_instance.sh", [str(results), "30"]))
    ]
    assert [d.returncode for d in done] == [0, 0]
    assert results.read_text().splitlines()[0] == "sat" and "(Y_1 " in results.read_text()


def test_what_cannot_be_read_is_unknown_and_another_version_is_refused(tool: Path, tmp_path: Path) -> None:
    spec, results = write(tmp_path, SPECS["just in reach"][0]), tmp_path / "results.txt"
    (tmp_path / "net.onnx").write_bytes(b"none")
    given = ["bench", str(tmp_path / "net.onnx"), str(spec), str(results), "60"]
    subprocess.run(["bash", str(tool / "run_instance.sh"), "v1", *given], capture_output=True, check=True)
    assert results.read_text() == "unknown\n"
    for name in ("install_tool.sh", "prepare_instance.sh", "run_instance.sh"):
        assert subprocess.run(["bash", str(tool / name), "v9", *given], capture_output=True, check=False).returncode == 1
