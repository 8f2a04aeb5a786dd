"""What every test gets: one thread, fixed seeds, and the data sets where they are."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
settings.register_profile("ballproof", deadline=None, derandomize=True, database=None)  # no test depends on time or luck
settings.load_profile("ballproof")

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """The random numbers of a test do not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  the global generator is what the code of others would use
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets and published networks; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("BALLPROOF_DATA") or BESIDE)
    if not path.is_dir():
        pytest.skip(f"no data sets in {path}; say where they are with $BALLPROOF_DATA")
    return path
