"""`Hand`: a process that carries out one item after the other, and is stopped from outside where an item does not stop."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

from ballproof.errors import InputError
from ballproof.spread.work import Failure, Rows

STARTING = 300.0
"""Seconds that a process may take to start: importing torch from a network drive is slow."""


@dataclass(frozen=True)
class Orders:
    """What a hand is told once. work: pickled. path: where modules are found. memory: bytes of its data, 0 for any."""

    work: bytes
    threads: int
    memory: int
    path: tuple[str, ...]


class Hand:
    """A process of its own, started when it is first asked and again after it died."""

    def __init__(self, work: bytes, threads: int = 0, memory: int = 0) -> None:
        self.orders = Orders(work, threads or 1, memory, tuple(sys.path))
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._ready = False

    def begin(self) -> None:
        """Start the process; it gets ready while others work."""
        if self._process is None:
            self._begin()

    def ask(self, item: Any, seconds: float) -> Rows | Failure:
        """The rows of the item; what the process raised is raised here."""
        try:
            pipe = self._started()
            pipe.send_bytes(pickle.dumps(item))
            if not pipe.poll(None if seconds == float("inf") else seconds):
                self.close()
                return Failure.TIME
            found = pickle.loads(pipe.recv_bytes())  # noqa: S301  from our own process
        except (EOFError, ConnectionError):
            self.close()
            return Failure.DEATH
        except BaseException:
            self.close()
            raise
        if isinstance(found, Exception):
            raise found
        if found is Failure.MEMORY:
            self.close()  # what is left of the item may fill the memory of the next one
        return found  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        self._ready = False

    def _started(self) -> Connection[Any, Any]:
        self.begin()
        pipe = self._pipe
        assert pipe is not None
        if self._ready:
            return pipe
        if not pipe.poll(STARTING):
            raise InputError(f"a worker's process did not start within {STARTING:g} s")
        try:
            found = pickle.loads(pipe.recv_bytes())  # noqa: S301  from our own process
        except EOFError:
            raise InputError("a worker's process ended before it could begin; its last words are above") from None
        if isinstance(found, Exception):
            raise found
        self._ready = True
        return pipe

    def _begin(self) -> None:
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-m", "ballproof.spread.hand_process", str(theirs.fileno())]
        one = {name: str(self.orders.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        where = os.pathsep.join(p for p in self.orders.path if p)
        around = {**os.environ, **one, "PYTHONPATH": where}
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=around, stdin=subprocess.DEVNULL)  # noqa: S603
        theirs.close()
        self._pipe.send_bytes(pickle.dumps(self.orders))
