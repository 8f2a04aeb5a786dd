"""Queries answered from intervals, against every corner of the boxes in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import ballproof as bp
from ballproof.bounds.elision import elided
from ballproof.bounds.interval import interval_pass
from ballproof.operations.base import Affine
from ballproof.operations.convolution import Convolution
from ballproof.operations.linear import Linear


class Forked(nn.Module):
    """A nonlinear vector used by two branches, and the input added at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.right = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).relu()
        return self.left(h) - self.right(h) + x


def exactly(rows: Tensor, matrix: Tensor, shift: Tensor, lower: Tensor, upper: Tensor) -> list[Fraction]:
    """The least value of each row of `rows @ (matrix h + shift)` at the corners of the box, in fractions."""
    told = [[[Fraction(v) for v in r] for r in t.tolist()] for t in (rows, matrix)]
    ends, added = list(zip(lower.tolist(), upper.tolist(), strict=True)), [Fraction(v) for v in shift.tolist()]
    values = []
    for corner in product(*ends):
        out = [sum((m * Fraction(h) for m, h in zip(r, corner, strict=True)), b) for r, b in zip(told[1], added, strict=True)]
        values.append([sum((c * o for c, o in zip(r, out, strict=True)), Fraction(0)) for r in told[0]])
    return [min(v) for v in zip(*values, strict=True)]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_last_matrix_is_met_at_the_corners_of_its_box(prepared: bool, shared: bool, bias: bool) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3, bias=bias)).double().requires_grad_(False)
    x, rows = torch.rand(2, 2).double(), torch.randn(1 if shared else 2, 5, 3).double()
    region = bp.Linf(x, 0.3)
    graph = bp.snapshot(net, x) if prepared else bp.as_graph(net, x)
    known = interval_pass(graph, region.box())
    box = known[graph.varying[-2].name]
    found = elided(graph, region, rows, known, graph.constants())
    torch.testing.assert_close(found, bp.lower_bounds(graph, region, rows, method="interval"), rtol=1e-14, atol=1e-14)
    last = net[2]
    shift = last.bias if bias else torch.zeros(3).double()
    for example in range(2):
        own = rows[0 if shared else example]
        least = exactly(own, last.weight, shift, box.lower[example], box.upper[example])
        assert found[example].tolist() == pytest.approx([float(v) for v in least], rel=1e-12, abs=1e-12)


def test_branches_meet_before_the_box_is_taken() -> None:
    torch.manual_seed(4)
    net = Forked().double().requires_grad_(False)
    x, rows = torch.rand(2, 3).double(), torch.randn(2, 4, 3).double()
    region = bp.Linf(x, 0.2)
    graph = bp.as_graph(net, x)
    known = interval_pass(graph, region.box())
    box = next(known[n.name] for n in graph.varying if not isinstance(n.operation, Affine))
    found = elided(graph, region, rows, known, graph.constants())
    matrix, ends = net.left.weight - net.right.weight, region.box()
    for example in range(2):
        least = exactly(rows[example], matrix, net.left.bias, box.lower[example], box.upper[example])
        own = (torch.eye(3).double(), torch.zeros(3).double())
        least = [
            a + b for a, b in zip(least, exactly(rows[example], *own, ends.lower[example], ends.upper[example]), strict=True)
        ]
        assert found[example].tolist() == pytest.approx([float(v) for v in least], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("operation", "inputs", "output"),
    [
        (Linear(), ((4,), torch.randn(3, 4), torch.randn(3)), (3,)),
        (Linear(), ((4,), torch.randn(3, 4)), (3,)),
        (Linear(), ((2, 4), torch.randn(3, 4), torch.randn(3)), (2, 3)),
        (Convolution((1,), (1,), (1,)), ((2, 5), torch.randn(3, 2, 3), torch.randn(3)), (3, 5)),
    ],
    ids=["vector", "no bias", "matrix", "convolution"],
)
def test_queries_are_pulled_back_as_automatic_differentiation_does(
    operation: Affine, inputs: tuple[tuple[int, ...] | Tensor, ...], output: tuple[int, ...], batch: int
) -> None:
    given = tuple(i if isinstance(i, Tensor) else None for i in inputs)
    shapes = tuple(tuple(i.shape) if isinstance(i, Tensor) else i for i in inputs)
    queries, point = torch.randn(batch, 5, *output), torch.randn(1, *shapes[0], requires_grad=True)
    parts, added = operation.pull_queries(queries, given, shapes)
    values = (queries * operation.forward(point, *given[1:])).flatten(2).sum(2)  # type: ignore[arg-type]
    pulled = parts[0]
    assert pulled is not None and all(p is None for p in parts[1:])
    slopes = torch.stack([torch.autograd.grad(v, point, retain_graph=True)[0][0] for v in values.flatten()])
    assert torch.allclose(pulled.flatten(0, 1), slopes, atol=1e-5)
    assert torch.allclose((pulled * point).flatten(2).sum(2) + added, values, atol=1e-5)
