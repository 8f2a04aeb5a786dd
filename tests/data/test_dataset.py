"""`Dataset`: its promises are checked, its parts keep examples, labels and indices together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ballproof.data import Dataset
from ballproof.errors import InputError

SIZES = (30, 50, 21)  # of the classes 0, 1, 2


def made(**changes: object) -> Dataset:
    """Input k is k / 200 in both places, so an input says which example it is."""
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(SIZES))[torch.randperm(101)]
    inputs = (torch.arange(101) / 200).unsqueeze(1).repeat(1, 2)
    told = {"inputs": inputs, "labels": labels, "name": "made", "split": "train", "classes": 3, **changes}
    return Dataset(**told)  # type: ignore[arg-type]


def which(inputs: Tensor) -> list[int]:
    return [round(v * 200) for v in inputs[:, 0].tolist()]


def test_subset_keeps_examples_together_and_remembers_where_they_came_from() -> None:
    data = made()
    part = data.subset([90, 4, 7]).subset(torch.tensor([2, 0]))
    assert part.indices.tolist() == which(part.inputs) == [7, 90]
    assert part.labels.tolist() == [int(data.labels[7]), int(data.labels[90])]
    assert (part.shape, len(part), part.range) == ((2,), 2, (0.0, 1.0))


def test_a_mask_chooses_where_it_is_true() -> None:
    mask = torch.zeros(101, dtype=torch.bool)
    mask[[3, 100]] = True
    assert made().subset(mask).indices.tolist() == [3, 100]


@pytest.mark.parametrize(
    ("chosen", "told"),
    [([101], "0..100"), ([-1], "0..100"), (torch.ones(5, dtype=torch.bool), "mask"), ([0.5], "expected integers")],
)
def test_places_that_do_not_exist_are_refused(chosen: list[int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        made().subset(chosen)


def test_batches_in_order_hold_every_example_once() -> None:
    data = made()
    found = list(data.batches(25))
    assert [len(y) for _, y in found] == [25, 25, 25, 25, 1]
    assert which(torch.cat([x for x, _ in found])) == list(range(101))
    assert torch.equal(torch.cat([y for _, y in found]), data.labels)


def test_drop_last_leaves_out_only_a_smaller_last_batch() -> None:
    assert [len(y) for _, y in made().batches(25, drop_last=True)] == [25] * 4
    assert [len(y) for _, y in made().subset(list(range(100))).batches(25, drop_last=True)] == [25] * 4


def test_a_generator_shuffles_by_its_seed_alone() -> None:
    data = made()

    def order(seed: int) -> list[int]:
        found = list(data.batches(10, torch.Generator().manual_seed(seed)))
        labels = torch.cat([y for _, y in found])
        places = which(torch.cat([x for x, _ in found]))
        assert torch.equal(labels, data.labels[places]), "labels stay with their inputs"
        return places

    assert sorted(order(1)) == list(range(101))
    assert order(1) == order(1) != order(2)
    assert order(1) != list(range(101))


@pytest.mark.parametrize("size", [0, -5])
def test_a_batch_size_below_one_is_refused_at_once(size: int) -> None:
    with pytest.raises(InputError, match="`size`"):
        made().batches(size)


@pytest.mark.parametrize("share", [0.2, 20])
def test_validation_split_holds_out_every_class_in_proportion(share: float) -> None:
    data = made()
    training, held = data.validation_split(share, seed=5)
    assert sorted(training.indices.tolist() + held.indices.tolist()) == list(range(101))
    for label, size in enumerate(SIZES):
        wanted = (20 / 101 if share == 20 else share) * size
        assert abs(int((held.labels == label).sum()) - wanted) < 1
    assert len(held) == 20
    assert (training.split, held.split) == ("train", "validation")
    assert which(held.inputs) == held.indices.tolist() == sorted(held.indices.tolist())


@pytest.mark.parametrize("count", [1, 2, 37, 99, 100])
def test_a_count_is_held_out_exactly(count: int) -> None:
    assert len(made().validation_split(count, 0)[1]) == count


def test_a_count_is_shared_out_by_the_largest_remainders() -> None:
    """37 of 101: the quotas are 10.99, 18.32 and 7.69, so the two seats left after 10, 18, 7 go to the classes 0 and 2."""
    assert made().validation_split(37, 0)[1].labels.bincount().tolist() == [11, 18, 8]


def test_the_seed_alone_decides_what_is_held_out() -> None:
    data = made()
    torch.manual_seed(1)
    first = data.validation_split(0.3, 9)[1].indices
    torch.manual_seed(2)
    assert torch.equal(first, data.validation_split(0.3, 9)[1].indices)
    assert not torch.equal(first, data.validation_split(0.3, 10)[1].indices)


@pytest.mark.parametrize("share", [0, 0.0, -0.1, 1.0, 101, 1.5, -3, float("nan"), True, 0.001])
def test_a_share_that_leaves_no_split_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        made().validation_split(share, 0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": torch.full((101, 2), float("nan"))}, "NaN"),
        ({"inputs": torch.full((101, 2), float("inf"))}, "infinities"),
        ({"inputs": torch.full((101, 2), 1.25)}, r"\[1.25, 1.25\], expected \[0, 1\]; scale them"),
        ({"inputs": torch.full((101, 2), -0.25)}, r"\[-0.25, -0.25\]"),
        ({"inputs": torch.zeros(101, 2, dtype=torch.float64)}, "float32"),
        ({"inputs": torch.zeros(101)}, r"\(n, \*shape\)"),
        ({"inputs": torch.zeros(100, 2)}, "100 inputs, 101 labels"),
        ({"indices": torch.arange(100)}, "100 indices"),
        ({"labels": torch.zeros(101)}, "int64"),
        ({"labels": torch.full((101,), -1)}, r"label -1 of example 0 is not in 0\.\.2"),
        ({"labels": torch.arange(101)}, r"label 3 of example 3 is not in 0\.\.2"),
        ({"classes": 1}, "`classes` is 1"),
    ],
)
def test_what_breaks_a_promise_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        made(**changes)
