"""Limits of time reach the search even where Python would drop the interruption."""

from __future__ import annotations

import signal
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress

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


def test_an_interruption_that_was_dropped_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a callback that nobody knows of beforehand; Python tells of what it drops there."""
    monkeypatch.setattr(clocks, "GRACE", 0.05)
    monkeypatch.setattr(sys, "unraisablehook", lambda told: dropped.append(told.exc_type))
    dropped: list[type[BaseException] | None] = []

    class Value:
        pass

    def search() -> None:
        with interrupting(Clock(0)):
            value = Value()
            kept = weakref.ref(value, lambda _: busy(0.3))
            del value
            assert kept() is None
            busy(20)

    with pytest.raises(TimeUp):
        search()
    assert dropped == [TimeUp]


def test_a_search_below_a_finalizer_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "GRACE", 0.05)
    seen = []

    class Searching:
        def __del__(self) -> None:
            try:
                with interrupting(Clock(0)):
                    busy(20)
            except TimeUp:
                seen.append(True)

    one = Searching()
    del one
    assert seen == [True]


def test_an_alarm_that_comes_after_the_block_is_nothing() -> None:
    """The signal may be on its way when the alarm is taken back."""
    before = signal.getsignal(signal.SIGALRM)
    with interrupting(Clock(60)):
        ring = signal.getsignal(signal.SIGALRM)
    assert signal.getsignal(signal.SIGALRM) is before
    left = signal.getitimer(signal.ITIMER_REAL)
    assert callable(ring) and ring is not before
    ring(signal.SIGALRM, None)
    assert signal.getitimer(signal.ITIMER_REAL)[0] <= left[0]


def test_a_block_that_is_over_before_it_begins_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm may ring as soon as it is set."""
    monkeypatch.setattr(clocks, "GRACE", 0.0)
    before = signal.getsignal(signal.SIGALRM)
    for _ in range(300):
        with suppress(TimeUp), interrupting(Clock(3e-5)):
            busy(1e-3)
        assert signal.getsignal(signal.SIGALRM) is before


def test_a_block_of_an_exit_stack_below_a_finalizer_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "GRACE", 0.05)
    seen = []

    class Searching:
        def __del__(self) -> None:
            with suppress(TimeUp), ExitStack() as stack:
                stack.enter_context(interrupting(Clock(0)))
                busy(1)
                seen.append("late")
            seen.append("over")

    one = Searching()
    del one
    assert seen == ["over"]
