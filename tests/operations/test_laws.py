"""The laws that every operation obeys, for every registered operation; a new one is tested before its author writes a test."""

from __future__ import annotations

import pytest
import torch
from examples import EXAMPLES, Example
from torch import Tensor

from ballproof.operations import Affine, Nonlinear, Role, registered
from ballproof.operations.base import Argument, interval_by_rows, vector_jacobian
from ballproof.operations.max_pool import MaxPool
from ballproof.values import Interval, Line

BATCH = 3
WIDTHS = (0.0, 1e-7, 0.3, 2.0, 1e6)
EVERY = pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e.name}-{i}" for i, e in enumerate(EXAMPLES)])
NONLINEAR = pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if isinstance(e.operation, Nonlinear)], ids=lambda e: repr(e.operation)
)
AFFINE = [e for e in EXAMPLES if isinstance(e.operation, Affine)]
LINEAR = pytest.mark.parametrize("example", AFFINE, ids=[f"{e.name}-{i}" for i, e in enumerate(AFFINE)])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def intervals(example: Example, width: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Argument]:
    """Random boxes for what varies: around 0, touching it, and away from it; constants for the rest."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Argument] = []
    for shape, constant in zip(example.shapes, example.constants(dtype), strict=True):
        if constant is not None:
            found.append(constant)
            continue
        draw = torch.rand(3, BATCH, *shape, generator=generator, dtype=torch.float64)
        center = (draw[0] - 0.5) * (2 * width if width > 1e-3 else 2.0)
        radius = width * draw[1] / 2
        center = torch.where(draw[2] < 0.2, radius, torch.where(draw[2] < 0.4, -radius, center))
        found.append(Interval((center - radius).to(dtype), (center + radius).to(dtype)))
    return found


def points(given: list[Argument], count: int = 40, seed: int = 1) -> list[list[Tensor]]:
    """Random points, corners, kinks and ends."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for i in range(count):
        draws = []
        for g in given:
            if isinstance(g, Tensor):
                draws.append(g)
                continue
            share = torch.rand(g.lower.shape, generator=generator, dtype=torch.float64).to(g.lower.dtype)
            share = share.round() if i % 3 == 0 else share
            point = torch.minimum(torch.maximum(g.lower + share * g.width, g.lower), g.upper)
            draws.append(torch.zeros_like(point).clamp(g.lower, g.upper) if i % 5 == 4 else point)
        found.append(draws)
    return found


def size(given: list[Argument], result: Tensor) -> Tensor:
    """The numbers in sight: rounding is measured against them."""
    largest = max(float(torch.maximum(g.lower.abs(), g.upper.abs()).max()) for g in given if isinstance(g, Interval))
    return result.abs() + largest + 1


def test_every_operation_has_examples() -> None:
    assert set(registered()) == {e.name for e in EXAMPLES}


@EVERY
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_points_lie_inside_the_interval(example: Example, width: float, dtype: torch.dtype) -> None:
    given = intervals(example, width, dtype=dtype)
    found = example.operation.interval(*given)
    for arguments in points(given):
        y = example.operation.forward(*arguments)
        slack = TOLERANCE[dtype] * size(given, y)
        assert bool((y >= found.lower - slack).all()) and bool((y <= found.upper + slack).all())


@EVERY
def test_a_point_gives_a_point(example: Example) -> None:
    given = intervals(example, 0.0)
    found = example.operation.interval(*given)
    y = example.operation.forward(*points(given, 1)[0])
    assert torch.allclose(found.lower, y, atol=1e-12) and torch.allclose(found.upper, y, atol=1e-12)


@EVERY
def test_batch_entries_do_not_touch_each_other(example: Example) -> None:
    given = intervals(example, 1.0)
    whole = example.operation.interval(*given)
    for i in range(BATCH):
        alone = example.operation.interval(*(g[i : i + 1] if isinstance(g, Interval) else g for g in given))
        assert torch.allclose(alone.lower[0], whole.lower[i], atol=1e-13)
        assert torch.allclose(alone.upper[0], whole.upper[i], atol=1e-13)


@EVERY
def test_float32_encloses_float64(example: Example) -> None:
    exact, rounded = intervals(example, 1.0), intervals(example, 1.0, dtype=torch.float32)
    a, b = example.operation.interval(*exact), example.operation.interval(*rounded)
    slack = 1e-5 * size(exact, a.lower)
    assert bool((b.lower.double() <= a.lower + slack).all()) and bool((b.upper.double() >= a.upper - slack).all())


@EVERY
def test_the_role_is_what_the_class_says(example: Example) -> None:
    operation = example.operation
    assert operation.role(example.varies) is (Role.AFFINE if isinstance(operation, Affine) else Role.NONLINEAR)
    assert operation.role(tuple(False for _ in example.varies)) is Role.CONSTANT


@LINEAR
def test_pull_back_is_the_vector_jacobian_product(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    arguments = tuple(example.constants(torch.float64))
    output = operation.forward(*points(intervals(example, 1.0), 1)[0])
    cotangent = torch.randn(5, *output.shape[1:], dtype=torch.float64)
    found = operation.pull_back(cotangent, arguments, example.shapes)
    wanted = vector_jacobian(operation, cotangent, arguments, example.shapes)
    for a, b, varies in zip(found, wanted, example.varies, strict=True):
        assert (a is not None) == (b is not None) == varies
        if a is not None and b is not None:
            assert a.shape == b.shape and torch.allclose(a, b, atol=1e-12)


@LINEAR
def test_the_linear_part_and_the_constant_make_the_forward(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    arguments = tuple(example.constants(torch.float64))
    x = points(intervals(example, 1.0), 1)[0]
    y = operation.forward(*x)
    rows = torch.eye(y[0].numel(), dtype=torch.float64).reshape(-1, *y.shape[1:])
    pulled = operation.pull_back(rows, arguments, example.shapes)
    linear = sum(v.flatten(1) @ p.flatten(1).T for v, p in zip(x, pulled, strict=True) if p is not None)
    constant = operation.constant_term(arguments, example.shapes)
    assert isinstance(linear, Tensor)
    whole = linear if constant is None else linear + constant.to(linear).flatten(1)
    assert torch.allclose(whole.reshape(y.shape), y, atol=1e-12)


@LINEAR
def test_the_interval_is_the_exact_range(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    given = intervals(example, 1.0)
    found, wanted = operation.interval(*given), interval_by_rows(operation, tuple(given))
    assert torch.allclose(found.lower, wanted.lower, atol=1e-11) and torch.allclose(found.upper, wanted.upper, atol=1e-11)


@LINEAR
def test_pull_back_is_differentiable_in_the_constants(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Affine)
    constants = [c.requires_grad_() if c is not None and c.is_floating_point() else c for c in example.constants(torch.float64)]
    if not any(c is not None and c.requires_grad for c in constants):
        return
    output = operation.forward(
        *(x if c is None else c for x, c in zip(points(intervals(example, 1.0), 1)[0], constants, strict=True))
    )
    cotangent = torch.randn(2, *output.shape[1:], dtype=torch.float64)

    def value(*given: Tensor) -> Tensor:
        rest = iter(given)
        arguments = tuple(next(rest) if c is not None and c.requires_grad else c for c in constants)
        found = operation.pull_back(cotangent, arguments, example.shapes)
        term = operation.constant_term(arguments, example.shapes)
        total = sum(((f * f).sum() for f in found if f is not None), cotangent.new_zeros(()))
        return total if term is None else total + (term * term).sum()

    leaves = tuple(c for c in constants if c is not None and c.requires_grad)
    assert torch.autograd.gradcheck(value, leaves, atol=1e-6)


def evaluate(example: Example, line: Line, x: Tensor) -> Tensor:
    windows = example.operation.windows(x) if isinstance(example.operation, MaxPool) else None
    if windows is not None:
        return (windows * line.slopes[0]).sum(-1) + line.offset
    return x * line.slopes[0] + line.offset


@NONLINEAR
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("slope", ["parallel", "adaptive", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lines_enclose_every_point(example: Example, width: float, slope: str, dtype: torch.dtype) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    given = intervals(example, width, dtype=dtype)
    box = given[0]
    assert isinstance(box, Interval)
    asked = torch.randn(box.lower.shape, generator=torch.Generator().manual_seed(3)).to(dtype) if slope == "random" else slope
    if slope == "random" and isinstance(operation, MaxPool):
        return
    found = operation.relax(*given, slope=asked)  # type: ignore[arg-type]
    for (x,) in points(given):
        y = operation.forward(x)
        slack = TOLERANCE[dtype] * size(given, y) * 4
        assert bool((evaluate(example, found.lower, x) <= y + slack).all())
        assert bool((evaluate(example, found.upper, x) >= y - slack).all())


@NONLINEAR
def test_parallel_lines_are_parallel(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    found = operation.relax(*intervals(example, 1.0), slope="parallel")
    assert found.parallel and torch.equal(found.lower.slopes[0], found.upper.slopes[0])
    assert not operation.relax(*intervals(example, 1.0), slope="adaptive").parallel


@NONLINEAR
def test_settled_coordinates_have_exact_lines(example: Example) -> None:
    """Where no tighter interval is asked for, the two lines are one."""
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    if isinstance(operation, MaxPool):
        return
    given = intervals(example, 1.0)
    (open_,) = operation.unsettled(*given)
    found = operation.relax(*given, slope="adaptive")
    assert bool(open_.any()) and not bool(open_.all())
    gap = (found.upper.offset - found.lower.offset).abs() + (found.upper.slopes[0] - found.lower.slopes[0]).abs()
    assert bool((gap[~open_] < 1e-12).all())


@NONLINEAR
@pytest.mark.parametrize("slope", ["parallel", "adaptive"])
def test_pulled_slopes_are_the_line(example: Example, slope: str) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    given = intervals(example, 1.0)
    line = operation.relax(*given, slope=slope).upper  # type: ignore[arg-type]
    (x,) = points(given, 1)[0]
    cotangent = torch.randn(BATCH, 4, *line.offset.shape[1:], dtype=torch.float64)
    (pulled,) = operation.pull_slopes(cotangent, line.slopes, example.shapes)
    found = (pulled * x.unsqueeze(1)).flatten(2).sum(2) + (cotangent * line.offset.unsqueeze(1)).flatten(2).sum(2)
    wanted = (cotangent * evaluate(example, line, x).unsqueeze(1)).flatten(2).sum(2)
    assert torch.allclose(found, wanted, atol=1e-12)


@NONLINEAR
def test_relaxations_are_differentiable(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    (box,) = intervals(example, 1.0, seed=5)
    assert isinstance(box, Interval)
    noise = torch.rand(2, *box.lower.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 10
    ends = (box.lower - noise[0]).requires_grad_(), (box.upper + noise[1]).requires_grad_()

    def value(lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        found = operation.relax(Interval(lower, upper), slope="parallel")
        return found.lower.slopes[0], found.lower.offset, found.upper.offset

    assert torch.autograd.gradcheck(value, ends, atol=1e-5, eps=1e-7)


@pytest.mark.slow
@NONLINEAR
def test_ten_thousand_boxes(example: Example) -> None:
    operation = example.operation
    assert isinstance(operation, Nonlinear)
    for seed in range(10_000 // (BATCH * 12) + 1):
        given = intervals(example, 10.0 ** (seed % 13 - 7), seed=seed)
        for slope in ("parallel", "adaptive"):
            found = operation.relax(*given, slope=slope)  # type: ignore[arg-type]
            for (x,) in points(given, 6, seed):
                y = operation.forward(x)
                slack = 1e-12 * size(given, y) * 4
                assert bool((evaluate(example, found.lower, x) <= y + slack).all())
                assert bool((evaluate(example, found.upper, x) >= y - slack).all())
