"""Bounds in another floating type, and on another device, than those of the network and the region."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import ballproof as bp
from ballproof.errors import InputError


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 4))


REGION = bp.Linf(torch.linspace(0, 1, 18).reshape(2, 1, 3, 3), torch.tensor([0.1, 0.2]), clip=(0, 1))
LABELS = torch.tensor([1, 3])


@pytest.mark.parametrize("method", ["interval", "crown", "alpha", "zonotope", "lp"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_type_asked_for_gives_the_bounds_of_the_network_and_the_region_in_it(net: nn.Module, method: str, kept: bool) -> None:
    asked, double, wide = bp.snapshot(net, REGION) if kept else net, copy.deepcopy(net).double(), REGION.to(dtype=torch.float64)
    rows = torch.randn(1, 2, 4)
    wider = rows.double()
    pairs = [
        (bp.margins(asked, REGION, LABELS, method, dtype=torch.float64), bp.margins(double, wide, LABELS, method)),
        (
            bp.lower_bounds(asked, REGION, rows, method, dtype=torch.float64),
            bp.lower_bounds(double, wide, wider, method),
        ),
        (bp.bound(asked, REGION, method, dtype=torch.float64).upper, bp.bound(double, wide, method).upper),
    ]
    for ours, theirs in pairs:
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_lines_come_in_the_type_asked_for_and_gradients_reach_the_parameters(net: nn.Module) -> None:
    found = bp.linear_bounds(net, REGION, device="cpu", dtype=torch.float64)
    assert found.lower.slopes[0].dtype == found.upper.offset.dtype == torch.float64
    bp.margins(net, REGION, LABELS, dtype=torch.float64).sum().backward()
    assert all(
        p.grad is not None and p.grad.dtype == torch.float32 and bool(p.grad.abs().sum() > 0) for p in net[3].parameters()
    )


def test_nothing_is_moved_unless_asked(net: nn.Module) -> None:
    assert bp.margins(net, REGION, LABELS).dtype == torch.float32
    assert bp.margins(net, REGION, LABELS, device="cpu").dtype == torch.float32


def test_a_type_that_holds_no_bounds_is_refused(net: nn.Module) -> None:
    with pytest.raises(InputError, match=r"`dtype` is torch\.int64, expected a floating type"):
        bp.margins(net, REGION, LABELS, dtype=torch.int64)
