"""`digits`: 1,797 images of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from ballproof.data.dataset import Dataset

TEST_SHARE, SEED = 0.2, 20180701


@lru_cache(maxsize=1)
def _all() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits as bundled

    found = bundled()
    inputs = torch.from_numpy((found.data / 16.0).astype(np.float32)).reshape(-1, 1, 8, 8)
    return inputs, torch.from_numpy(found.target.astype(np.int64))


def load_digits(split: str) -> Dataset:
    """Shape (1, 8, 8), pixels in [0, 1] in steps of 1/16. A fixed fifth of every class is the test set."""
    inputs, labels = _all()
    everything = Dataset(inputs, labels, "digits", split, 10)
    train, test = everything.validation_split(TEST_SHARE, SEED)
    return test if split == "test" else train
