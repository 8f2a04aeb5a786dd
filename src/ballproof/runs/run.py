"""A run: the folder that one command writes and that the same command can go on with."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from ballproof.errors import InputError
from ballproof.runs.invocation import INVOCATION
from ballproof.runs.journal import Journal, JournalRows, line_of
from ballproof.runs.lock import LOCK, Lock

CONFIG, IDENTITY, TOTALS = "config.json", "identity.json", "results.json"
"""What was asked, the hashes of what it was asked about, and what came out in all."""

FORMAT = 2
"""Of the journals, as the config tells it: from 2 on every row has its checksum."""

LARGEST = 2**28
"""Bytes of a JSON file of a run; a larger one is none of ours."""


@dataclass(frozen=True)
class Run:
    """A run folder. Files are written beside and renamed, rows are appended whole: a kill at any moment loses no row.

    lock: held by the command that writes, as long as the run is in use; None where it is only looked at.
    """

    path: Path
    lock: Lock | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def start(
        path: Path | str, command: str, settings: Mapping[str, Any], resume: bool, defaults: Mapping[str, Any] | None = None
    ) -> Run:
        """A new folder, or with `resume` the one of the same command and settings; anything else is an `InputError`.

        A folder without a config is new; `resume` on a new folder starts it. The folder is locked: another command in it is
        refused, naming this one, until the run is let go or its process is gone. defaults: what settings meant before there was
        a word for them, so that a folder of an earlier version can go on.
        """
        path = Path(path)
        if not (path / CONFIG).is_file():
            Run.refuse_taken(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"`out` is {path}, which cannot be made: {error.strerror}") from error
        run = Run(path, Lock.of(path))
        if run.has(CONFIG):
            run._agree(command, settings, resume, defaults or {})
        else:
            noted = {"argv": list(INVOCATION.get())} if INVOCATION.get() else {}
            told = {"command": command, "settings": dict(settings), "versions": versions(), "format": FORMAT}
            run.write_json(CONFIG, told | noted)
        return run

    @staticmethod
    def refuse_taken(path: Path) -> None:
        """Raises `InputError` where a new run would meet other things: asked before long work whose end makes the folder."""
        if path.is_dir() and any(p.name != LOCK for p in path.iterdir()):
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
        found = self.read_json(CONFIG)
        kinds = {"command": str, "settings": dict, "versions": dict}
        if not isinstance(found, dict) or not all(isinstance(found.get(k), kind) for k, kind in kinds.items()):
            raise InputError(f"{self.path / CONFIG} is no config of a run: it lacks `command`, `settings` or `versions`")
        return found

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Written beside, flushed to the disk, renamed: a reader sees the old file or the new one."""
        with self.writing(name) as file:
            file.write(content)
        return self.path / name

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file for what is written bit by bit; it takes its name when all of it is on the disk."""
        path, beside = self.path / name, self.path / f".{name}.part"
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            if beside.is_file():
                beside.unlink()
            raise InputError(f"{path} cannot be written: {error.strerror}; nothing was changed") from error
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def write_json(self, name: str, value: Any) -> Path:
        return self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """What a JSON file of the run holds; a damaged or huge one is an `InputError`."""
        path = self.path / name
        try:
            if path.stat().st_size > LARGEST:
                raise InputError(f"{path} has more than {LARGEST >> 20} MiB, which no file of a run has")
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def journal(self, name: str) -> Journal:
        """The journal of this name; folders of earlier versions have rows without checksums."""
        return Journal(self.path / name, sealed=self.has(CONFIG) and self.config.get("format", 1) != 1)

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to a JSON-lines journal and flush them to the disk."""
        self.journal(name).append(rows)

    def rows(self, name: str) -> JournalRows:
        """The whole rows of a journal, left on the disk. A row that a kill cut short, or that is damaged, is none."""
        rows = self.journal(name).rows()
        if rows.damaged:
            logging.getLogger(__name__).warning("%s: %d damaged rows are left out", self.path / name, rows.damaged)
        return rows

    def replace_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a journal anew."""
        self.write_bytes(name, b"".join(line_of(row) for row in rows))


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("ballproof", "torch", "numpy", "highspy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
