"""`digits` against what its documentation says: scikit-learn's rows, sixteen grey levels, one fixed test set."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from ballproof.data import load


def test_every_row_of_the_source_is_in_exactly_one_split() -> None:
    source = load_digits()
    train, test = load("digits", "train"), load("digits", "test")
    assert sorted(train.indices.tolist() + test.indices.tolist()) == list(range(1797))
    for data in (train, test):
        assert (data.name, data.shape, data.classes, data.note) == ("digits", (1, 8, 8), 10, "")
        assert data.inputs.dtype == torch.float32
        assert torch.equal(data.inputs.double() * 16, torch.from_numpy(source.images[data.indices.numpy()]).unsqueeze(1))
        assert data.labels.tolist() == source.target[data.indices.numpy()].tolist()


def test_the_test_set_is_a_fifth_of_every_class_and_never_changes() -> None:
    whole = torch.from_numpy(load_digits().target).bincount()
    test = load("digits", "test")
    assert bool((test.labels.bincount() - 0.2 * whole).abs().le(0.5).all())
    # a change here changes what every figure measured on `digits` means
    assert test.indices[:5].tolist() == [5, 15, 22, 24, 35]
    assert (len(test), int(test.indices.sum())) == (359, 321_634)
