"""What the README shows runs: its Python, and every command and option that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ballproof.cli import app

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(BLOCK,) = re.findall(r"## On the command line\n\n```\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split()[1:] for line in BLOCK.splitlines()]


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    own_network, training = PYTHON
    assert len([line for line in own_network.splitlines() if line]) <= 10
    exec(compile(own_network, "README.md", "exec"), {})  # noqa: S102  our own text
    assert 0 <= float(capsys.readouterr().out) <= 1
    exec(compile(training, "README.md", "exec"), {})  # noqa: S102  our own text
    assert "certified_accuracy" in capsys.readouterr().out


def test_the_readme_shows_every_command() -> None:
    own = {name for name in app if not name.startswith("-")}
    assert {command[0] for command in COMMANDS} == own


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_are_understood(command: list[str]) -> None:
    app.parse_args(command, exit_on_error=False, print_error=False)  # raises for an option that is not there
