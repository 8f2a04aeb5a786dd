"""What a person at a terminal sees: help with an example, progress with rate and time left, colours only where wanted."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

import pytest
from cyclopts import App
from rich.console import Console

from ballproof.cli import app, main
from ballproof.cli.doctor import doctor, missing_extras
from ballproof.cli.progress import progress, waiting

SCREEN = 45
"""Lines of help at 100 columns: what a window of a common size shows."""


def commands(of: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name in of:
        if not name.startswith("-"):
            yield from commands(of[name], (*path, name))


COMMANDS = list(commands(app))


def helped(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(app, "console", Console(width=100))  # the library keeps the first one, whatever its width
    said = io.StringIO()
    with redirect_stdout(said):
        assert main([*command, "--help"]) == 0
    return said.getvalue()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_a_screen_and_its_example_is_understood(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    said = helped(command, monkeypatch)
    assert len(said.splitlines()) <= SCREEN and "\x1b" not in said
    (example,) = re.findall(r"^Example: ballproof (.*?)\n *\n", said, re.MULTILINE | re.DOTALL)
    tokens = shlex.split(example)
    assert tuple(tokens[: len(command)]) == command
    app.parse_args(tokens, exit_on_error=False, print_error=False)  # raises for an option that is not there


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ((), ("smooth",))], ids=" ".join)
def test_every_command_speaks_json(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--json" in helped(command, monkeypatch)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_tells_rate_and_time_left_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress(4, "certify") as show:
            time.sleep(0.05)
            show(2, "two")
        with waiting("verify", 60):
            pass
        said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
        if not stream.isatty():
            assert said == ""
            continue
        assert re.search(r"certify .*2/4, [\d.]+/s, 0:0\d left two", said)
        assert re.search(r"verify .*(1:00|0:59) left at most", said)


def on_a_terminal(*tokens: str, **environment: str) -> str:
    master, terminal = os.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")} | {"TERM": "xterm-256color"}
    command = [sys.executable, "-m", "ballproof", *tokens]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=kept | environment):
        os.close(terminal)
        said = b""
        with suppress(OSError):  # the other end is closed
            while part := os.read(master, 65536):
                said += part
    os.close(master)
    return said.decode()


COLOR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;\d]*m")


def test_colours_are_off_with_no_color_and_where_there_is_no_terminal() -> None:
    assert COLOR.search(on_a_terminal("report", "--help"))
    assert not COLOR.search(on_a_terminal("report", "--help", NO_COLOR="1"))
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"}
    command = [sys.executable, "-m", "ballproof", "report", "--help"]
    piped = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert b"\x1b" not in piped.stdout + piped.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "--shell", shell, "--output", str(tmp_path / "script")]) == 0
    script = (tmp_path / "script").read_text()
    assert all(word in script for word in ("certify", "attack-steps", "doctor"))


def test_doctor_tells_what_is_there_and_how_to_get_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["z3-solver>=4; extra == 'smt'", "torch>=2", "no-such; extra == 'x'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: wanted)
    assert missing_extras() == {"x": ["no-such"]}
    doctor(data_dir=tmp_path, json=True)
    *lines, last = capsys.readouterr().out.splitlines()
    told = json.loads(last)
    assert {"versions", "solvers", "gpu", "data_dir", "data", "missing"} <= set(told)
    assert told["data"]["digits"] == {"test_examples": 359, "reason": ""}
    assert told["data"]["mnist"]["test_examples"] is None and "get it from" in told["data"]["mnist"]["reason"]
    assert "pip install 'ballproof[x]'" in "\n".join(lines) and told["data_dir"] == str(tmp_path)
