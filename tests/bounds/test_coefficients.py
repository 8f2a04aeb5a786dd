"""Queries of another shape than the network's outputs are refused with the shape that is expected."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.bounds import lower_bounds
from ballproof.errors import InputError
from ballproof.problems import ball


@pytest.mark.parametrize("shape", [(3, 3), (3,), (2, 3, 4), (2, 1, 3), (5, 1, 3, 1)])
def test_a_wrong_shape_is_one_line(shape: tuple[int, ...]) -> None:
    module, x = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), torch.rand(5, 4)
    region = ball("linf", x, 0.1, None)
    with pytest.raises(InputError, match=r"`coefficients` has shape .*expected \(1 or 5, queries, 3\)"):
        lower_bounds(module, region, torch.ones(shape))
    for right in ((1, 2, 3), (5, 7, 3)):
        assert lower_bounds(module, region, torch.ones(right)).shape == (5, right[1])
