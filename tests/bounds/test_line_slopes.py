"""The lines that cotangents meet at a node, in single precision, against the products themselves."""

from __future__ import annotations

import torch

from ballproof.bounds.backward import Lines
from ballproof.graph import Node
from ballproof.operations import Role
from ballproof.operations.relu import Relu
from ballproof.values import Line, Relaxation


def test_a_slope_that_is_small_beside_the_other_keeps_its_digits() -> None:
    """On [-1e6, 1] the rectifier's slope above is 1e-6; one that is off by 6e-8 puts the line 0.06 below it at -1e6."""
    generator = torch.Generator().manual_seed(0)
    node = Node("relu", Relu(), ("z",), (60,), Role.NONLINEAR)
    for largest in (1e6, 1.0):
        high = torch.rand(1, 60, generator=generator)
        low = -largest * torch.rand(1, 60, generator=generator)
        above, below = high / (high - low), torch.rand(1, 60, generator=generator)
        lines = Lines.of(Relaxation(Line((below,), torch.zeros(1, 60)), Line((above,), -above * low)), node)
        cotangent = torch.randn(1, 5, 60, generator=generator)
        found = lines.pulled(cotangent, cotangent.clamp(max=0)).double()
        true = torch.where(cotangent > 0, below.unsqueeze(1), above.unsqueeze(1)).double() * cotangent.double()
        assert ((found - true).abs() <= 5e-7 * true.abs()).all()
