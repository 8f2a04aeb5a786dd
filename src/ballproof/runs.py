"""A run: the folder that one command writes and that the same command can go on with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ballproof.errors import InputError

CONFIG = "config.json"

INVOCATION: ContextVar[tuple[str, ...]] = ContextVar("INVOCATION", default=())
"""The words of the command line that is being carried out; a run notes them, so that its report can say how to get it again."""


@dataclass(frozen=True)
class Run:
    """A run folder. Files are written beside and renamed, rows are appended whole: a kill at any moment loses no row."""

    path: Path

    @staticmethod
    def start(
        path: Path | str, command: str, settings: Mapping[str, Any], resume: bool, defaults: Mapping[str, Any] | None = None
    ) -> Run:
        """A new folder, or with `resume` the one of the same command and settings; anything else is an `InputError`.

        A folder without a config is new; `resume` on a new folder starts it. defaults: what settings meant before there was a
        word for them, so that a folder of an earlier version can go on.
        """
        run = Run(Path(path))
        if (run.path / CONFIG).is_file():
            run._agree(command, settings, resume, defaults or {})
            return run
        Run.refuse_taken(run.path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"`out` is {run.path}, which cannot be made: {error.strerror}") from error
        noted = {"argv": list(INVOCATION.get())} if INVOCATION.get() else {}
        run.write_json(CONFIG, {"command": command, "settings": dict(settings), "versions": versions(), **noted})
        return run

    @staticmethod
    def refuse_taken(path: Path) -> None:
        """Raises `InputError` where a new run would meet other things: asked before long work whose end makes the folder."""
        if path.is_dir() and any(path.iterdir()):
            raise InputError(f"`out` is {path}, a folder with other things in it; name a new or an empty one")

    @staticmethod
    def read(path: Path | str) -> Run:
        """An existing run, to be looked at."""
        run = Run(Path(path))
        if not (run.path / CONFIG).is_file():
            raise InputError(f"{run.path} is not a run folder: it has no {CONFIG}")
        return run

    def _agree(self, command: str, settings: Mapping[str, Any], resume: bool, defaults: Mapping[str, Any]) -> None:
        if not resume:
            raise InputError(f"`out` is {self.path}, which holds a run already; add --resume to go on, or name a new folder")
        known = self.config
        if known["command"] != command:
            raise InputError(f"{self.path} holds a run of `{known['command']}`, not of `{command}`")
        wanted, meant = json.loads(json.dumps([dict(settings), dict(defaults)]))
        former = {k: v for k, v in meant.items() if k in wanted} | known["settings"]
        changed = [k for k in {**wanted, **former} if wanted.get(k) != former.get(k)]
        if changed:
            told = ", ".join(f"{k} was {former.get(k)!r} and is {wanted.get(k)!r}" for k in sorted(changed))
            raise InputError(f"{self.path} cannot be resumed with other settings: {told}")

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read_json(CONFIG)
        return found

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Written beside, flushed to the disk, renamed: a reader sees the old file or the new one."""
        path, beside = self.path / name, self.path / f".{name}.part"
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise InputError(f"{path} cannot be written: {error.strerror}; nothing was changed") from error
        beside.replace(path)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a JSON-lines journal and flush them to the disk."""
        path = self.path / name
        try:
            with path.open("ab") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}; its earlier rows are kept") from error

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The whole rows of a journal; a row that a kill cut short is cut off the file."""
        path = self.path / name
        if not path.is_file():
            return []
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        return [json.loads(line) for line in whole.splitlines()]

    def replace_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write a journal anew."""
        self.write_bytes(name, "".join(json.dumps(row) + "\n" for row in rows).encode())


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("ballproof", "torch", "numpy", "highspy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
