"""Items in a process of their own: what dies, hangs or wants too much memory costs its own rows alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy import Item, Toy, row_of

from ballproof.errors import InputError
from ballproof.spread import BARRIER, Failure, Workers, spread
from ballproof.spread.work import carried_out


def values(work: Toy, items: list[Item], workers: Workers) -> dict[int, tuple[object, str]]:
    found = [row for _, rows in spread(work, items, workers) for row in rows]
    assert len({row["index"] for row in found}) == len(found)
    return {row["index"]: (row["value"], row["reason"]) for row in found}


def test_a_bad_item_costs_itself_alone(tmp_path: Path) -> None:
    does = ["", "die once", "", "die", "", "hang", ""]
    items = [Item(i, d) for i, d in enumerate(does)]
    found = values(Toy(str(tmp_path)), items, Workers())
    bad = {3: (None, Failure.DEATH.value), 5: (None, Failure.TIME.value)}
    assert found == {i: bad.get(i, (row_of(i)["value"], "")) for i in range(len(does))}
    began = (tmp_path / "begun").read_text().split()
    assert [began.count(str(i)) for i in range(len(does))] == [1, 2, 1, 2, 1, 1, 1]


def test_an_item_that_memory_is_too_small_for_is_tried_smaller_and_then_given_up(tmp_path: Path) -> None:
    """3 GiB are refused, then 1.5 GiB, then 768 MiB; 384 MiB fit into 600."""
    items = [Item(0, size=3072), Item(1, size=300)]
    rows = [row for _, found in spread(Toy(str(tmp_path)), items, Workers(memory=600 << 20)) for row in found]
    assert [(r["size"], r["reason"]) for r in rows] == [(384, ""), (300, "")]

    class Never(Toy):
        def smaller(self, item: Item) -> list[Item]:
            return []

    tries: list[Item] = []

    def ask(item: Item) -> Failure:
        tries.append(item)
        return Failure.MEMORY

    assert carried_out(Never(), items[0], ask) == Never().given_up(items[0], "memory")
    assert len(tries) == 1


def test_an_error_of_the_work_ends_it_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="item 1 is refused"):
        values(Toy(str(tmp_path)), [Item(0), Item(1, "refuse")], Workers())


def test_items_behind_a_barrier_see_all_rows_before_it(tmp_path: Path) -> None:
    kept: list[int] = []

    def items() -> object:
        yield from (Item(i) for i in range(5))
        yield BARRIER
        assert kept == list(range(5))
        yield Item(9)

    for _, rows in spread(Toy(str(tmp_path)), items(), Workers()):  # type: ignore[arg-type]
        kept += [row["index"] for row in rows]
    assert kept == [0, 1, 2, 3, 4, 9]


def test_workers_are_checked() -> None:
    for bad in ({"count": -1}, {"threads": -1}, {"memory": -1}, {"count": 2, "cluster": "tcp://a:1"}):
        with pytest.raises(InputError):
            Workers(**bad)  # type: ignore[arg-type]
