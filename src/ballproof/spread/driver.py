"""`spread`: the rows of every item, as they come."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ballproof.errors import InputError
from ballproof.spread.hand import Hand
from ballproof.spread.work import Barrier, Rows, Work, attempted, carried_out
from ballproof.spread.workers import Workers

Item = TypeVar("Item")


def spread(work: Work[Item], items: Iterable[Item | Barrier], workers: Workers) -> Iterator[tuple[Item, Rows]]:
    """Each item with its rows, once, in the order in which they are ready. Items are drawn a few at a time.

    The caller keeps the rows before it asks for more: what it was not given when it is killed was not done. Give slow items
    first, so that none is waited for in the end. On CPU the rows do not depend on the workers, but for `seconds`, and for
    what time or memory ran out on. What comes after a `BARRIER` may depend on all rows before it.
    """
    if not workers.alone:
        try:
            from ballproof.spread.cluster import on_cluster
        except ImportError as error:
            raise InputError("several workers need the extra `cluster`: pip install 'ballproof[cluster]'") from error
        return on_cluster(work, items, workers)
    return _isolated(work, items, workers) if work.isolated else _here(work, items)


def _here(work: Work[Item], items: Iterable[Item | Barrier]) -> Iterator[tuple[Item, Rows]]:
    for item in items:
        if not isinstance(item, Barrier):
            yield item, carried_out(work, item, lambda part: attempted(work, part))


def _isolated(work: Work[Item], items: Iterable[Item | Barrier], workers: Workers) -> Iterator[tuple[Item, Rows]]:
    hand = Hand(pickle.dumps(work), workers.threads, workers.memory)
    try:
        for item in items:
            if not isinstance(item, Barrier):
                yield item, carried_out(work, item, lambda part: hand.ask(part, work.seconds(part)))
    finally:
        hand.close()
