"""Items on Dask: processes of this machine, or the workers of a scheduler that others join."""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

import cloudpickle
import dask
from dask.utils import key_split
from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin, get_worker
from distributed.comm.core import CommClosedError
from distributed.scheduler import DEFAULT_EXTENSIONS, KilledWorker
from distributed.spans import SpansSchedulerExtension
from distributed.system import MEMORY_LIMIT

from ballproof.errors import InputError
from ballproof.runs import versions
from ballproof.runs.signals import asked, shielded
from ballproof.spread.hand import Hand
from ballproof.spread.work import Barrier, Failure, Rows, Work, carried_out
from ballproof.spread.workers import Workers

Item = TypeVar("Item")

AHEAD = 2
"""Items under way for each thread of the cluster: one that is worked on, one that waits beside it."""

JOINING, LOST, ENDING, LOOKING = 60.0, 30.0, 4.0, 2.0
"""Seconds: for a first worker to join, before a scheduler counts as gone, for items under way after a signal, and between two
looks at who has joined."""

QUIET = {
    "distributed.admin.large-graph-warning-threshold": "1GiB",  # an item carries its inputs
    "distributed.scheduler.allowed-failures": 5,
    "distributed.worker.profile.enabled": False,
    # what Dask keeps of the past for developers: a thousand messages for each worker, with the inputs in them
    "distributed.admin.log-length": 20,
    "distributed.admin.low-level-log-length": 20,
    "distributed.admin.system-monitor.log-length": 20,
    # what its processes do beside the work, by default fifty times a second
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "30s",
    "distributed.admin.system-monitor.interval": "10s",
}

FORGOTTEN = 1000
"""After so many items Dask's table of the names of tasks is emptied: it would keep the last 100,000."""


class Spans(SpansSchedulerExtension):
    """Dask's record of a computation, without the entry that it keeps for every item for ever."""

    def observe_tasks(self, tss: Any, **told: Any) -> Any:  # type: ignore[override]  # its settings differ by version
        return super().observe_tasks(tss, **{**told, "span_metadata": None})


class Hands(WorkerPlugin):
    """On every worker, those that join later too: the work, received once, and a process for each of the worker's threads."""

    def __init__(self, name: str, work: bytes, threads: int, memory: int) -> None:
        self.name, self.work, self.threads, self.memory, self.versions = name, work, threads, memory, versions()

    def setup(self, worker: Worker) -> None:
        limit = worker.memory_manager.memory_limit or MEMORY_LIMIT
        self.memory = self.memory or limit // worker.state.nthreads
        self.lock = threading.Lock()
        self.idle = [Hand(self.work, self.threads, self.memory) for _ in range(worker.state.nthreads)]
        for hand in self.idle:
            hand.begin()  # it imports torch while this process does
        self.theirs: Work[Any] = cloudpickle.loads(self.work)
        here = versions()
        self.differing = {k: f"{k} {v} in place of {self.versions[k]}" for k, v in here.items() if self.versions.get(k, v) != v}

    def teardown(self, worker: Worker) -> None:
        for hand in self.idle:
            hand.close()

    def carried_out(self, item: Any) -> Rows:
        """The rows of an item, by a process that is free."""
        if self.differing:
            raise InputError(f"the worker {get_worker().address} has {', '.join(self.differing.values())}")
        with self.lock:
            hand = self.idle.pop() if self.idle else Hand(self.work, self.threads, self.memory)
        try:
            return carried_out(self.theirs, item, lambda part: hand.ask(part, self.theirs.seconds(part)))
        finally:
            with self.lock:
                self.idle.append(hand)


def _carry_out(name: str, item: Any) -> Rows:
    hands = get_worker().plugins[name]
    assert isinstance(hands, Hands)
    return hands.carried_out(item)


def on_cluster(work: Work[Item], items: Iterable[Item | Barrier], workers: Workers) -> Iterator[tuple[Item, Rows]]:
    """As `spread`. A worker that is lost costs its items nothing but time; a signal waits until what is ready is given."""
    with shielded(), dask.config.set(QUIET), _client(workers) as client:
        name = f"ballproof-{uuid.uuid4().hex}"
        # each of a local worker's processes has its share; those of a cluster know their own
        memory = workers.memory or (0 if workers.cluster else MEMORY_LIMIT // workers.count)
        client.register_plugin(Hands(name, cloudpickle.dumps(work), workers.threads, memory), name=name)
        try:
            yield from _streamed(client, work, items, name)
        finally:
            if client.status == "running":
                with suppress(OSError, TimeoutError):  # the scheduler may have gone, which the client has yet to notice
                    client.unregister_worker_plugin(name)


@contextmanager
def _client(workers: Workers) -> Iterator[Client]:
    if workers.cluster:
        try:
            client = Client(workers.cluster, timeout=JOINING, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"`cluster` is {workers.cluster!r}: no scheduler answers there ({error})") from error
        with client:
            try:
                client.wait_for_workers(1, timeout=JOINING)
            except TimeoutError:
                raise InputError(f"no worker has joined {workers.cluster} within {JOINING:g} s") from None
            yield client
        return
    local = LocalCluster(
        n_workers=workers.count,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",  # any free port: several commands may run on one machine
        memory_limit=0,
        silence_logs=logging.CRITICAL,  # what fails is told once, by this process
        scheduler_kwargs={"extensions": {**DEFAULT_EXTENSIONS, "spans": Spans}},
    )
    with local, Client(local, set_as_default=False) as client:
        yield client


def _streamed(client: Client, work: Work[Item], items: Iterable[Item | Barrier], name: str) -> Iterator[tuple[Item, Rows]]:
    sent, left, until = _Sent(client, work, name), _Items(items), float("inf")
    while time.monotonic() < until:
        while not asked() and sent.room and (drawn := left.draw(not sent.items)):
            sent.send(drawn[0])
        if not sent.items:
            return
        if (done := sent.done()) is not None:
            yield done
        if asked():
            until = min(until, time.monotonic() + ENDING)


class _Sent(Generic[Item]):
    """Items that a cluster has and whose rows are not here yet: `items`, by the keys of their futures."""

    def __init__(self, client: Client, work: Work[Item], name: str) -> None:
        self.client, self.work, self.name = client, work, name
        self.items: dict[Any, tuple[Item, Future[Rows]]] = {}
        self._ready: queue.SimpleQueue[Future[Rows]] = queue.SimpleQueue()
        self._number, self._window = itertools.count(), _window(client)
        self._seen = self._looked = time.monotonic()

    @property
    def room(self) -> bool:
        """Whether one more keeps all workers busy and no more than that."""
        return len(self.items) < self._window

    def send(self, item: Item) -> None:
        number = next(self._number)
        if number % FORGOTTEN == 0:
            key_split.cache_clear()
        try:
            future = self.client.submit(_carry_out, self.name, item, key=f"{self.name}-{number}", pure=False)
        except Exception:
            if self.client.status == "closed":  # it says so by a plain `Exception`
                raise _gone() from None
            raise
        self.items[future.key] = (item, future)
        future.add_done_callback(self._ready.put)

    def done(self) -> tuple[Item, Rows] | None:
        """An item with its rows; None where a fifth of a second brings none. One whose rows were lost is sent again."""
        try:
            future = self._ready.get(timeout=0.2)
        except queue.Empty:
            self._look()
            return None
        item, _ = self.items.pop(future.key)
        if (rows := _rows(self.work, item, future)) is not None:
            return item, rows
        self.send(item)
        return None

    def _look(self) -> None:
        """For the scheduler, which may be gone, and for workers that have joined or left."""
        if self.client.status == "running":
            self._seen = time.monotonic()
            if self._seen - self._looked > LOOKING:
                self._window, self._looked = _window(self.client, self._window), self._seen
        elif time.monotonic() - self._seen > LOST or self.client.status == "closed":
            raise _gone()


class _Items(Generic[Item]):
    """Items one at a time, none past a barrier before it is down."""

    def __init__(self, items: Iterable[Item | Barrier]) -> None:
        self._left, self._closed = iter(items), False

    def draw(self, all_kept: bool) -> list[Item]:
        """The next item, or none: there is no more, or it stands behind a barrier and not all rows before it are kept."""
        if self._closed and not all_kept:
            return []
        self._closed = False
        for item in self._left:
            if not isinstance(item, Barrier):
                return [item]
            if not all_kept:
                self._closed = True
                return []
        return []


def _rows(work: Work[Item], item: Item, future: Future[Rows]) -> Rows | None:
    """The rows of an item that is done; None where they went with their worker before they were fetched."""
    try:
        found: Rows | None = None if future.status == "lost" else future.result()
    except (asyncio.CancelledError, CancelledError):
        raise _gone() from None
    except CommClosedError:  # so the scheduler answers where a worker dies while it fetches, and also where it dies itself
        return None
    except KilledWorker:
        return work.given_up(item, Failure.DEATH.value)
    return found


def _window(client: Client, before: int = AHEAD) -> int:
    """How many items may be under way; as many as before where the scheduler does not answer: the client finds out itself."""
    try:
        there: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    except OSError:
        return before
    return AHEAD * max(1, sum(int(w["nthreads"]) for w in there.values()))


def _gone() -> InputError:
    return InputError("the cluster's scheduler is gone; finished rows are kept, go on with --resume")
