"""`digits`: 1,797 images of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.splits import stratified

TEST_SHARE, SEED = 0.2, 20180701
"""The test set is a fifth of every class, drawn once by this seed; every published figure on `digits` rests on it."""


@lru_cache(maxsize=1)
def _all() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits as bundled

    found = bundled()
    inputs = torch.from_numpy((found.data / 16.0).astype(np.float32)).reshape(-1, 1, 8, 8)
    return inputs, torch.from_numpy(found.target.astype(np.int64))


def load_digits(split: str) -> Dataset:
    """Shape (1, 8, 8), pixels in [0, 1] in steps of 1/16; `indices` are scikit-learn's rows, in its order."""
    inputs, labels = _all()
    test = stratified(labels, TEST_SHARE, SEED)
    return Dataset(inputs, labels, "digits", split, 10).subset(test if split == "test" else ~test)
