"""The transposed convolution tap by tap, against the library's, with its gradient; rows of single coordinates."""

from __future__ import annotations

import pytest
import torch
from examples import EXAMPLES, Example
from torch.nn import functional as F

from ballproof.operations import Affine
from ballproof.operations.base import unit_rows
from ballproof.operations.taps import pays, transposed

SETTINGS = [((1, 1), (0, 0), (1, 1)), ((2, 2), (1, 1), (1, 1)), ((2, 1), (1, 2), (1, 2)), ((3, 2), (0, 1), (2, 1))]
AFFINE = [e for e in EXAMPLES if isinstance(e.operation, Affine)]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("extra", [0, 1])
def test_it_is_the_transposed_convolution(settings: tuple[tuple[int, int], ...], extra: int) -> None:
    stride, padding, dilation = settings
    cotangent, weight = torch.randn(3, 5, 4, 6, dtype=torch.float64), torch.randn(5, 2, 3, 4, dtype=torch.float64)
    rest = [min(extra, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
    wanted = F.conv_transpose2d(cotangent, weight, None, stride, padding, rest, 1, dilation)
    found = transposed(cotangent, weight, stride, padding, dilation, tuple(wanted.shape[2:]))
    assert torch.allclose(found, wanted, atol=1e-12)


def test_its_gradients_are_those_of_finite_differences() -> None:
    cotangent = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    for settings in (((2, 1), (1, 0), (1, 1), (6, 6)), ((1, 2), (0, 1), (2, 1), (7, 7))):
        assert torch.autograd.gradcheck(lambda c, w, s=settings: transposed(c, w, *s), (cotangent, weight))


def test_many_channels_and_groups_take_the_librarys() -> None:
    cotangent = torch.randn(2, 3, 4, 4)
    few, many = torch.randn(3, 4, 2, 2), torch.randn(3, 5, 2, 2)
    assert pays(cotangent, few, (1, 1), 1) and not pays(cotangent, many, (1, 1), 1)
    assert pays(cotangent, few[:, :1], (2, 2), 1) and not pays(cotangent, few, (2, 2), 1)
    assert not pays(cotangent, few[:, :2], (1, 1), 3)


@pytest.mark.parametrize("example", AFFINE, ids=[f"{e.name}-{i}" for i, e in enumerate(AFFINE)])
def test_rows_are_the_pull_back_of_unit_vectors(example: Example) -> None:
    operation, arguments = example.operation, tuple(example.constants(torch.float64))
    assert isinstance(operation, Affine)
    inputs = [
        torch.zeros(1, *s, dtype=torch.float64) if a is None else a for s, a in zip(example.shapes, arguments, strict=True)
    ]
    output = tuple(operation.forward(*inputs).shape[1:])
    index, like = torch.tensor([0, torch.Size(output).numel() - 1, 0]), torch.zeros(1, dtype=torch.float64)
    found = operation.rows(index, arguments, example.shapes, output, like)
    wanted = operation.pull_back(unit_rows(index, output, like), arguments, example.shapes)
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None) and (a is None or b is None or torch.allclose(a, b, atol=1e-12))
