"""What the process of a `Hand` does: `python -m ballproof.spread.hand_process FILE`, the number of an open pipe."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from ballproof.spread.hand import Orders


def main(file: int) -> None:
    """Answers items until nobody is there any more; then the process ends at once, in the midst of an item too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # what a network prints is no answer of the command
    pipe: Connection[Any, Any] = Connection(file)
    orders: Orders = pickle.loads(pipe.recv_bytes())  # noqa: S301  from the process that started this one
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, items), daemon=True).start()
    try:
        work = _ready(orders)
    except Exception as error:  # noqa: BLE001 - told to whoever waits
        _tell(pipe, error)
        return
    _tell(pipe, None)
    from ballproof.spread.work import attempted

    while True:
        try:
            _tell(pipe, attempted(work, pickle.loads(items.get())))  # noqa: S301  from the process that started this one
        except Exception as error:  # noqa: BLE001 - the one who asked decides
            _tell(pipe, error)


def _listen(pipe: Connection[Any, Any], items: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            items.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _ready(orders: Orders) -> Any:
    if orders.memory:
        limit_memory(orders.memory)
    return pickle.loads(orders.work)  # noqa: S301  from the process that started this one


def limit_memory(memory: int) -> None:
    """No more bytes of data than that for this process: what wants more gets a `MemoryError` in place of the whole machine."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard))


def _tell(pipe: Connection[Any, Any], answer: Any) -> None:
    try:
        said = pickle.dumps(answer)
        pickle.loads(said)  # noqa: S301  an exception with arguments of its own may not come back
    except Exception:  # noqa: BLE001
        said = pickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
    try:
        pipe.send_bytes(said)
    except OSError:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
