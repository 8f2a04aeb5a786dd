"""One command at a time in a run folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
import weakref
from pathlib import Path

from ballproof.errors import InputError

LOCK = ".lock"
_HELD: weakref.WeakValueDictionary[Path, Lock] = weakref.WeakValueDictionary()
BUSY = (errno.EAGAIN, errno.EACCES)


class Lock:
    """Held from `of` until it is let go or the process is gone; a killed process leaves none behind.

    The file says who holds it: host, process, command. What it says of a process that is gone means nothing: the lock is the
    operating system's. On a file system without locks a process of this host that is alive, or any of another host, holds it.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.let_go = weakref.finalize(self, os.close, file)

    @staticmethod
    def of(folder: Path) -> Lock:
        """The lock of a run folder; `InputError` names the process that has it."""
        path = folder.resolve() / LOCK
        if (held := _HELD.get(path)) is not None and held.let_go.alive:
            return held
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}") from error
        try:
            if not _taken(file):
                raise InputError(f"{folder} is in use by {_told(file)}; wait for it or name another folder")
            _sign(file)
        except BaseException:
            os.close(file)
            raise
        lock = Lock(path, file)
        _HELD[path] = lock
        return lock


def _taken(file: int) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in BUSY else not _alive(file)
    except ImportError:
        return not _alive(file)
    return True


def _alive(file: int) -> bool:
    """Whether the process that signed may still be there, where no lock of the system tells."""
    owner = _owner(file)
    process = owner.get("process")
    if owner.get("host") != socket.gethostname() or not isinstance(process, int):
        return bool(owner)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()


def _sign(file: int) -> None:
    command = " ".join(sys.argv)[:200]
    owner = {"host": socket.gethostname(), "process": os.getpid(), "command": command, "since": time.strftime("%F %T")}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(owner).encode(), 0)


def _owner(file: int) -> dict[str, object]:
    try:
        owner = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _told(file: int) -> str:
    owner = _owner(file)
    if not owner:
        return "another process"
    return f"process {owner.get('process')} on {owner.get('host')} since {owner.get('since')} ({owner.get('command')})"
