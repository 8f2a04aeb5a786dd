"""`digits`: 1,797 images of 8 x 8 pixels inside the package, the same that come with scikit-learn.

They are the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
1998, licensed under CC BY 4.0; digits.npz holds its pixels (0 .. 16) and labels, unchanged.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
import torch

from ballproof.data.dataset import Dataset
from ballproof.data.splits import stratified

TEST_SHARE, SEED = 0.2, 20180701
"""The test set is a fifth of every class, drawn once by this seed; every published figure on `digits` rests on it."""


@lru_cache(maxsize=1)
def _all() -> tuple[torch.Tensor, torch.Tensor]:
    with (resources.files("ballproof.data") / "digits.npz").open("rb") as file, np.load(file) as found:
        inputs = torch.from_numpy(found["pixels"].astype(np.float32) / 16).unsqueeze(1)
        return inputs, torch.from_numpy(found["labels"].astype(np.int64))


def load_digits(split: str) -> Dataset:
    """Shape (1, 8, 8), pixels in [0, 1] in steps of 1/16; `indices` are scikit-learn's rows, in its order."""
    inputs, labels = _all()
    test = stratified(labels, TEST_SHARE, SEED)
    return Dataset(inputs, labels, "digits", split, 10).subset(test if split == "test" else ~test)
