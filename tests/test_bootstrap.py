"""The two commands of the README: which torch they take, what a stamp saves, and the one line that a failure gives.

pip itself is replaced by a list of what was asked of it; a real installation is what every checkout begins with.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "bootstrap.py"
NO_INDEX, CPU_INDEX = "--no-index torch==9.8.7", "--retries 0 --timeout 15 torch==9.8.7+cpu"


class Pip:
    """Answers for pip: refuses what holds one of the words of `refused`, and writes `noise` to the log."""

    def __init__(self, script: ModuleType, refused: tuple[str, ...] = (), noise: str = "") -> None:
        self.asked: list[str] = []
        self.script, self.refused, self.noise = script, refused, noise

    def __call__(self, *arguments: str) -> bool:
        self.asked.append(" ".join(arguments))
        with self.script.LOG.open("a") as log:
            log.write(self.noise)
        return not any(word in self.asked[-1] for word in self.refused)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a checkout of its own, on a machine of Linux without an NVIDIA driver."""
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    venv = tmp_path / ".venv"
    venv.mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\ntorch==9.8.7\n")
    places = {
        "ROOT": tmp_path,
        "VENV": venv,
        "STAMP": venv / "stamp.json",
        "LOG": venv / "log",
        "PYTHON": venv / "python",
    }
    for name, value in places.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "runs", lambda program, *arguments: program == venv / "python")
    monkeypatch.setattr(module, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    return module


def set_up(script: ModuleType, monkeypatch: pytest.MonkeyPatch, pip: Pip, *extras: str) -> list[str]:
    monkeypatch.setattr(script, "pip_succeeds", pip)
    script.set_up(set(extras))
    return pip.asked


def test_a_folder_of_wheels_is_taken_first(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = set_up(script, monkeypatch, Pip(script), "dev")
    assert len(asked) == 2 and asked[0].endswith(NO_INDEX)
    assert asked[1].startswith(f"install --editable {script.ROOT}[dev] --constraint")


def test_then_the_cpu_wheels_then_the_plain_package(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = set_up(script, monkeypatch, Pip(script, refused=("--no-index",)))
    assert len(asked) == 3 and asked[1].endswith(CPU_INDEX) and "GB for NVIDIA" not in capsys.readouterr().err
    script.STAMP.unlink()
    asked = set_up(script, monkeypatch, Pip(script, refused=("--no-index", "+cpu")))
    assert len(asked) == 3 and "GB for NVIDIA" in capsys.readouterr().err


def test_with_an_nvidia_driver_the_plain_package_is_taken(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "has_nvidia_driver", lambda: True)
    asked = set_up(script, monkeypatch, Pip(script))
    assert len(asked) == 1 and "torch==" not in asked[0]


def test_what_is_installed_is_not_installed_again(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set_up(script, monkeypatch, Pip(script))
    assert set_up(script, monkeypatch, Pip(script)) == []
    assert "[dev]" in set_up(script, monkeypatch, Pip(script), "dev")[-1]
    assert set_up(script, monkeypatch, Pip(script)) == []
    (script.ROOT / "pyproject.toml").write_text("[project]\n# changed\n")
    assert set_up(script, monkeypatch, Pip(script))


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ("WARNING: chatter\nERROR: No matching distribution found for numpy==2.0.0\n", "No matching distribution"),
        (
            "WARNING: Retrying after NewConnectionError\nERROR: no version of numpy\n",
            "no package registry can be reached",
        ),
        ("nothing that helps\n", "pip gave no reason"),
    ],
)
def test_a_failure_is_one_line_and_leaves_no_stamp(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], noise: str, said: str
) -> None:
    monkeypatch.setattr(script, "pip_succeeds", Pip(script, ("--editable",), noise))
    assert script.main(["demo"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last and str(script.LOG) in last and not script.STAMP.exists()


def test_an_old_python_is_named(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "OLDEST", (99, 0))
    assert script.main(["test"]) == 1
    assert "is too old" in capsys.readouterr().err


def test_an_unknown_command_shows_the_two(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["tset"]) == 2
    assert "bootstrap.py demo" in capsys.readouterr().err
