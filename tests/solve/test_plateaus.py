"""Walks for counterexamples leave plateaus where all rectifiers rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ballproof.problems import Box, linear_constraints
from ballproof.solve import verify


class Corner(nn.Module):
    """1 but near one corner of the unit box, where it falls below 0."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 - torch.relu(x.sum(1, keepdim=True) - 18)


def test_a_corner_that_no_gradient_points_to_is_found() -> None:
    box = Box(torch.zeros(1, 20), torch.ones(1, 20))
    verdict = verify(Corner(), box, linear_constraints([[-1.0]], [0.0]), timeout=30, engine="attack")
    assert verdict.falsified and verdict.counterexample is not None and float(verdict.counterexample.sum()) >= 19
