"""`verify` and `assert_robust`: three outcomes, each with its evidence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ballproof.errors import InputError
from ballproof.evaluate import assert_robust
from ballproof.problems import L1, L2, Linf, Property, classified_as, linear_constraints
from ballproof.solve import verify


def absolute() -> nn.Sequential:
    """Two outputs: |x| and 0.5, exactly."""
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        for parameter, value in zip(
            net.parameters(), ([[1.0], [-1.0]], [0.0, 0.0], [[1.0, 1.0], [0.0, 0.0]], [0.0, 0.5]), strict=True
        ):
            parameter.copy_(torch.tensor(value, dtype=torch.float64))
    return net


def region(center: float, eps: float) -> Linf:
    return Linf(torch.tensor([[center]], dtype=torch.float64), eps)


def test_verified_falsified_and_unknown() -> None:
    net = absolute()
    proven = verify(net, region(2.0, 1.0), classified_as(0))
    assert proven.verified and 0 < proven.bound <= 0.5 and proven.counterexample is None
    broken = verify(net, region(1.0, 0.6), classified_as(0))
    assert broken.falsified and broken.counterexample is not None
    assert region(1.0, 0.6).contains(broken.counterexample.unsqueeze(0), 1e-12).all()
    outputs = net(broken.counterexample.unsqueeze(0))[0]
    assert outputs[0] <= outputs[1]


def corners() -> nn.Sequential:
    """3 - |a + b| - |a - b|: at least 1 on [-1, 1]^2, since the two never reach 2 together; each chord alone allows 2."""
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]))
        net[0].bias.zero_()
        net[2].weight.copy_(-torch.ones(1, 4))
        net[2].bias.fill_(3.0)
    return net


def test_unknown_says_why_and_is_no_answer() -> None:
    wide = Linf(torch.zeros(1, 2, dtype=torch.float64), 1.0)
    asked = linear_constraints([[-1.0]], [0.0])
    verdict = verify(corners(), wide, asked, engine="bounds")
    assert verdict.unknown and "gap" in verdict.reason
    with pytest.raises(TypeError, match="three outcomes"):
        bool(verdict)


@pytest.mark.parametrize("engine", ["auto", "inputs", "neurons"])
def test_what_lines_leave_open_is_decided_by_splitting(engine: str) -> None:
    wide = Linf(torch.zeros(1, 2, dtype=torch.float64), 1.0)
    assert verify(corners(), wide, linear_constraints([[-1.0]], [-0.999]), engine=engine).verified
    broken = verify(corners(), wide, linear_constraints([[-1.0]], [-1.001]), engine=engine)
    assert broken.falsified and broken.counterexample is not None
    with torch.no_grad():
        assert float(corners()(broken.counterexample.unsqueeze(0))) <= 1.001


@pytest.mark.parametrize("engine", ["auto", "neurons"])
def test_balls_that_are_no_boxes_are_split_by_neurons(engine: str) -> None:
    """On the disc of radius 1, |a + b| + |a - b| = 2 max(|a|, |b|) reaches 2; on the diamond of L1 too."""
    for region in (L2(torch.zeros(1, 2, dtype=torch.float64), 1.0), L1(torch.zeros(1, 2, dtype=torch.float64), 1.0)):
        assert verify(corners(), region, linear_constraints([[-1.0]], [-0.99]), engine=engine).verified
        assert verify(corners(), region, linear_constraints([[-1.0]], [-1.01]), engine=engine).falsified


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(InputError, match="auto"):
        verify(corners(), Linf(torch.zeros(1, 2, dtype=torch.float64), 1.0), linear_constraints([[-1.0]], [0.0]), engine="fast")


def test_ors_of_ands() -> None:
    """Violated if y0 <= 0.4, or if y0 <= 3.2 and y1 >= 0.6: the first is impossible at |x| >= 1, the second by y1 = 0.5."""
    rows = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, -1.0]]], dtype=torch.float64)
    offsets = torch.tensor([[-0.4, -3.2, 0.6]], dtype=torch.float64)
    assert verify(absolute(), region(2.0, 1.0), Property(rows, offsets, (0, 1, 1))).verified
    offsets = torch.tensor([[-0.4, -3.2, 0.4]], dtype=torch.float64)
    assert verify(absolute(), region(2.0, 1.0), Property(rows, offsets, (0, 1, 1))).falsified


def test_several_examples_are_refused() -> None:
    with pytest.raises(InputError, match="holds 2 examples"):
        verify(absolute(), Linf(torch.zeros(2, 1, dtype=torch.float64), 0.1), classified_as([0, 0]))


def test_assert_robust_passes_on_proofs_alone() -> None:
    net = absolute()
    x, y = torch.tensor([[2.0], [1.0]], dtype=torch.float64), torch.tensor([0, 0])
    assert_robust(net, x[:1], y[:1], eps=1.0, clip=None)
    assert_robust(net, x, y, eps=0.6, clip=None, share=0.5)
    with pytest.raises(AssertionError, match=r"50\.0 % of 2 .* broken or wrong: 1"):
        assert_robust(net, x, y, eps=0.6, clip=None)
    with pytest.raises(InputError, match="share"):
        assert_robust(net, x, y, eps=0.1, clip=None, share=0.0)
