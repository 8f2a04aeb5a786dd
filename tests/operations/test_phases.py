"""The transposed convolution phase by phase, against the library's, with its gradients; a window's matrix likewise."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ballproof.operations.convolution import Convolution
from ballproof.operations.phases import Apart, pays, transposed
from ballproof.operations.window import Window

SETTINGS = [
    ((2, 2), (0, 0), (3, 3)),
    ((2, 2), (1, 1), (4, 4)),
    ((2, 3), (1, 2), (3, 5)),
    ((3, 2), (0, 1), (1, 2)),
    ((4, 4), (1, 0), (2, 3)),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("extra", [0, 1])
def test_it_is_the_transposed_convolution(settings: tuple[tuple[int, int], ...], extra: int) -> None:
    """Kernels larger and smaller than the stride, and sizes beyond the natural one."""
    stride, padding, kernel = settings
    cotangent, weight = torch.randn(3, 5, 4, 6, dtype=torch.float64), torch.randn(5, 2, *kernel, dtype=torch.float64)
    wanted = F.conv_transpose2d(cotangent, weight, None, stride, padding, extra)
    assert torch.allclose(transposed(cotangent, weight, stride, padding, tuple(wanted.shape[2:])), wanted, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_an_argument_apart_meets_its_maps_as_the_whole_does(settings: tuple[tuple[int, int], ...]) -> None:
    """The coefficients times the argument, added up, are those of the output times what the convolution makes of it."""
    stride, padding, kernel = settings
    weight, maps = torch.randn(5, 2, *kernel, dtype=torch.float64), torch.randn(1, 2, 13, 11, dtype=torch.float64)
    made = F.conv2d(maps, weight, None, stride, padding)
    cotangent, order = torch.randn(3, *made.shape[1:], dtype=torch.float64), Apart(weight, stride, padding)
    grid = (1, 1)
    window = order.window(Window(5, tuple(made.shape[2:]), grid, (0, 0)))  # type: ignore[arg-type]
    cut = window.view(order.maps(maps), grid)[0, 0, 0].permute(2, 0, 1)
    assert order.pull(cotangent).shape[1:] == cut.shape
    found = (order.pull(cotangent) * cut).flatten(1).sum(1)
    assert torch.allclose(found, (cotangent * made).flatten(1).sum(1), atol=1e-11)
    radius = window.view(order.maps(maps.abs()), grid)[0, 0, 0].permute(2, 0, 1)
    whole = F.conv_transpose2d(cotangent, weight, None, stride)[..., padding[0] :, padding[1] :]
    high, wide = (min(n, m) for n, m in zip(whole.shape[2:], maps.shape[2:], strict=True))
    reach = (whole[..., :high, :wide].abs() * maps[..., :high, :wide].abs()).flatten(1).sum(1)
    assert torch.allclose((order.pull(cotangent).abs() * radius).flatten(1).sum(1), reach, atol=1e-11)


def test_its_gradients_are_true() -> None:
    cotangent = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c, w: transposed(c, w, (2, 3), (1, 0), (6, 12)), (cotangent, weight))


def test_only_what_is_faster_goes_this_way() -> None:
    cotangent, weight = torch.randn(2, 3, 4, 4), torch.randn(3, 4, 2, 2)
    assert pays(cotangent, weight, (2, 2), (1, 1), 1)
    assert not pays(cotangent, weight, (1, 2), (1, 1), 1) and not pays(cotangent, weight, (2, 2), (2, 1), 1)
    assert not pays(cotangent, weight.clone().requires_grad_(), (2, 2), (1, 1), 1)
    assert not pays(cotangent, weight, (2, 2), (1, 1), 3) and not pays(cotangent, torch.randn(3, 99, 2, 2), (2, 2), (1, 1), 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_matrix_of_a_window_is_the_transposed_convolution(groups: int) -> None:
    operation = Convolution((2, 1), (0, 0), (1, 2), groups)
    weight, cotangent = torch.randn(4, 3, 3, 2, dtype=torch.float64), torch.randn(5, 4, 2, 3, dtype=torch.float64)
    wanted = F.conv_transpose2d(cotangent, weight, None, (2, 1), 0, 0, groups, (1, 2))
    assert torch.allclose(operation._with_matrix(cotangent, weight), wanted, atol=1e-12)
