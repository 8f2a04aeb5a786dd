"""The process of `verify`: its limit counts from its start, and too little memory ends in `unknown`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ballproof.cli import main
from ballproof.cli.start import age

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "solve"))
from file_problems import BOX, absolute_net, write


def test_the_age_of_a_process_is_that_of_the_clock() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("the system does not tell it")
    told = subprocess.run(
        [sys.executable, "-c", "import time; time.sleep(0.3); from ballproof.cli.start import age; print(age())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(told.stdout) > 0.29
    first = age()
    time.sleep(0.1)
    assert age() - first > 0.08


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("can't allocate memory: you tried 9 GB"), OSError(12, "Cannot allocate memory")]
)
def test_no_memory_is_unknown(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("ballproof.solve.files.read_vnnlib", broken)
    net, spec = absolute_net(tmp_path / "net.onnx"), write(tmp_path, BOX + "(assert (>= Y_0 1.01))")
    assert main(["verify", str(net), str(spec), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().split("\n")[-1])
    assert told["result"] == "unknown" and told["reason"].startswith("memory")


def test_a_limit_of_memory_is_kept_and_one_that_holds_no_libraries_refused(tmp_path: Path) -> None:
    net, spec = absolute_net(tmp_path / "net.onnx"), write(tmp_path, BOX + "(assert (>= Y_0 1.01))")
    command = [sys.executable, "-m", "ballproof", "verify", str(net), str(spec), "--threads", "1", "--memory"]
    done = {m: subprocess.run([*command, m], capture_output=True, text=True, check=False) for m in ("100", "2048")}
    assert done["100"].returncode == 2 and "256 MiB" in done["100"].stderr and not done["100"].stdout
    assert done["2048"].returncode == 0 and done["2048"].stdout.startswith("unsat")
