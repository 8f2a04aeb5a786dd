"""Limits of time reach the search even where Python would drop the interruption."""

from __future__ import annotations

import signal
import time
import weakref
from collections.abc import Callable

import pytest

from ballproof.solve import clock as clocks
from ballproof.solve.clock import Clock, TimeUp, interrupting

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm on this system")


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Finalized:
    def __del__(self) -> None:
        busy(0.2)


def finalizer() -> None:
    one = Finalized()
    del one


def callback() -> None:
    """The alarm rings while the callback of a dead value runs: comparing keys takes its time there."""

    class Key(str):
        __slots__ = ()

        def __hash__(self) -> int:
            busy(0.1)
            return super().__hash__()

    class Value:
        pass

    held, value = weakref.WeakValueDictionary[str, Value](), Value()
    held[Key("a")] = value
    del value


@pytest.mark.parametrize("dropped", [finalizer, callback])
@pytest.mark.filterwarnings("error")
def test_an_interruption_that_would_be_dropped_comes_again(
    dropped: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clocks, "GRACE", 0.15 if dropped is callback else 0.05)
    done = []

    def search() -> None:
        with interrupting(Clock(0)):
            dropped()
            done.append(True)
            busy(20)

    with pytest.raises(TimeUp):
        search()
    assert done
